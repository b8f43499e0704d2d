// The circuit breaker of the claims API. A flag, because a breaker in each process is none with ten of them. Polled once
// a second at most; the last known value while LaunchDarkly is away, as its SDK does.
const FLAG = 'claims-submit-queue-only'
const POLL_MS = 1000

let known = false
let asked = 0
let asking

async function ask(url) {
  try {
    const answer = await fetch(`${url}/sdk/latest-all`, { signal: AbortSignal.timeout(POLL_MS) })
    known = (await answer.json()).flags[FLAG]?.on ?? false
  } catch {
    // known stays as it is
  }
  asked = Date.now()
}

export async function circuitOpen(url) {
  if (!url) return false
  if (Date.now() - asked > POLL_MS) await (asking ??= ask(url).finally(() => (asking = undefined)))
  return known
}
