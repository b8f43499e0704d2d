// Without a claims API in the sandbox, a claim is a message like every other.
export { handle } from './notifications.mjs'
