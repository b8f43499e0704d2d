// The claims API of the payer. Every call answers with {status?, body?, outcome, begun, ms} and throws nothing:
// `begun` says whether anything of the request can have arrived, `outcome` is a class without a word of the payer.
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'

const EARLY_MS = 10_000 // a token is renewed before it ends
const CLASSES = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENOTFOUND: 'unresolved',
  EAI_AGAIN: 'unresolved',
}

function classOf(error) {
  if (error.late) return 'timeout'
  if (error.code?.startsWith('CERT_') || error.code?.includes('SELF_SIGNED') || error.code?.includes('VERIFY')) {
    return 'certificate'
  }
  return CLASSES[error.code] ?? 'failed'
}

export class ClaimsApi {
  #url
  #client
  #timeoutMs
  #agent
  #token = { value: '', until: 0 }
  #asking

  constructor(environment) {
    this.#url = environment.CLAIMS_API_URL
    this.#client = { client_id: environment.CLAIMS_API_CLIENT_ID, client_secret: environment.SHA_API_KEY }
    this.#timeoutMs = Number(environment.CLAIMS_API_TIMEOUT_MS ?? 30_000)
    this.#agent = new Agent({ keepAlive: true, ca: readFileSync(environment.CLAIMS_API_CA_FILE), maxSockets: 8 })
  }

  // A token that still lasts, as {value}; one call fetches it for all who wait. Where there is none, {outcome, ms}.
  async token() {
    if (this.#token.until > Date.now()) return this.#token
    return (this.#asking ??= this.#logIn().finally(() => (this.#asking = undefined)))
  }

  async #logIn() {
    const form = new URLSearchParams({ grant_type: 'client_credentials', ...this.#client }).toString()
    const answer = await this.#call('/oauth/token', 'application/x-www-form-urlencoded', form)
    if (answer.status !== 200) return { outcome: `token_${answer.status ?? answer.outcome}`, ms: answer.ms }
    this.#token = { value: answer.body.access_token, until: Date.now() + answer.body.expires_in * 1000 - EARLY_MS }
    return this.#token
  }

  async submit(token, bundle) {
    const answer = await this.#call('/v1/shr-med/bundle', 'application/fhir+json', JSON.stringify(bundle), token)
    // Whoever holds the refused token asks for another; those who have that one already keep it.
    if (answer.status === 401 && this.#token.value === token) this.#token = { value: '', until: 0 }
    return answer
  }

  async #call(path, type, body, token) {
    const started = Date.now()
    const progress = { begun: false }
    try {
      const { status, text } = await this.#exchange(path, type, body, token, progress)
      return { status, body: parsed(text), outcome: `http_${status}`, begun: true, ms: Date.now() - started }
    } catch (error) {
      return { outcome: classOf(error), begun: progress.begun, ms: Date.now() - started }
    }
  }

  #exchange(path, type, body, token, progress) {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) }
      if (token) headers.authorization = `Bearer ${token}`
      const sent = request(this.#url + path, { method: 'POST', agent: this.#agent, headers }, (answer) => {
        const chunks = []
        answer.on('data', (chunk) => chunks.push(chunk))
        answer.on('error', reject)
        answer.on('end', () => resolve({ status: answer.statusCode, text: Buffer.concat(chunks).toString() }))
      })
      const timer = setTimeout(() => sent.destroy(Object.assign(new Error('late'), { late: true })), this.#timeoutMs)
      sent.on('socket', (socket) => {
        // Until the handshake is over nothing of the request is on its way. Not `reusedSocket`: that is false for one
        // which waited for a connection and got one that is open.
        progress.begun = !socket.secureConnecting
        if (!progress.begun) socket.once('secureConnect', () => (progress.begun = true))
      })
      sent.on('error', reject)
      sent.on('close', () => clearTimeout(timer))
      sent.end(body)
    })
  }
}

function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
