// The claims API of the payer. Every call answers with {status?, body?, outcome, begun, ms} and throws nothing: `begun`
// says whether anything of the request can have arrived, `outcome` is a class and never a word of the payer.
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'

const FHIR = 'application/fhir+json'
const FORM = 'application/x-www-form-urlencoded'
const EARLY_MS = 10_000 // a token is renewed before it ends
const REFUSED = [401, 403]
const REJECTED = [400, 422]

// Class of what came back, in the words of the application's records.
function classOf({ status, begun, late }) {
  if (!status) return !begun ? 'connect' : late ? 'timeout' : 'server_error'
  if (status < 300) return 'acked'
  if (REFUSED.includes(status)) return 'unauthorized'
  if (status === 429) return 'throttled'
  return REJECTED.includes(status) ? 'rejected' : 'server_error'
}

export class ClaimsApi {
  #url
  #basic
  #timeoutMs
  #agent
  #token = { value: '', until: 0 }
  #asking

  constructor(environment) {
    this.#url = environment.CLAIMS_API_URL
    const { key, secret } = JSON.parse(environment.SHA_API_KEY)
    this.#basic = Buffer.from(`${key}:${secret}`).toString('base64')
    this.#timeoutMs = Number(environment.CLAIMS_API_TIMEOUT_MS ?? 30_000)
    this.#agent = new Agent({ keepAlive: true, ca: readFileSync(environment.CLAIMS_API_CA_FILE), maxSockets: 8 })
  }

  // A token that still lasts, as {value}; one call fetches it for all who wait. Where there is none, {outcome, ms}.
  async token() {
    if (this.#token.until > Date.now()) return this.#token
    return (this.#asking ??= this.#logIn().finally(() => (this.#asking = undefined)))
  }

  async #logIn() {
    const answer = await this.#call('/v1/oauth2/token', FORM, 'grant_type=client_credentials', `Basic ${this.#basic}`)
    if (answer.outcome !== 'acked') return answer
    if (!answer.body?.access_token) return { ...answer, outcome: 'server_error' }
    this.#token = { value: answer.body.access_token, until: Date.now() + answer.body.expires_in * 1000 - EARLY_MS }
    return this.#token
  }

  async submit(token, bundle) {
    const answer = await this.#call('/v1/shr-med/bundle', FHIR, JSON.stringify(bundle), `Bearer ${token}`)
    // Whoever holds the refused token asks for another; those who have that one already keep it.
    if (answer.status === 401 && this.#token.value === token) this.#token = { value: '', until: 0 }
    if (answer.outcome !== 'acked') return answer
    // A proxy says 200 too: only the payer's own word is an answer.
    if (answer.body?.resourceType !== 'ClaimResponse') return { ...answer, outcome: 'server_error' }
    return answer.body.outcome === 'error' ? { ...answer, outcome: 'rejected' } : answer
  }

  async #call(path, type, body, authorization) {
    const started = Date.now()
    const found = { begun: false, late: false }
    try {
      const { status, text } = await this.#exchange(path, type, body, authorization, found)
      Object.assign(found, { status, body: parsed(text), begun: true })
    } catch {
      // found says how far it got
    }
    return { ...found, outcome: classOf(found), ms: Date.now() - started }
  }

  #exchange(path, type, body, authorization, found) {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body), authorization }
      const sent = request(this.#url + path, { method: 'POST', agent: this.#agent, headers }, (answer) => {
        const chunks = []
        answer.on('data', (chunk) => chunks.push(chunk))
        answer.on('error', reject)
        answer.on('end', () => resolve({ status: answer.statusCode, text: Buffer.concat(chunks).toString() }))
      })
      const timer = setTimeout(() => {
        found.late = true
        sent.destroy(new Error('late'))
      }, this.#timeoutMs)
      sent.on('socket', (socket) => {
        // Until the handshake is over nothing of the request is on its way. Not `reusedSocket`: that is false for one
        // which waited for a connection and got one that is open.
        found.begun = !socket.secureConnecting
        if (!found.begun) socket.once('secureConnect', () => (found.begun = true))
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
