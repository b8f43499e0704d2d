// Sends one message, once. The row of its business key in PostgreSQL decides, not the queue: a job may come again
// after a crash, a stall or a failover, and under another id. The gateway, as real ones, sends what it is told as
// often as it is told; it can be asked what it has by our reference.

export class GatewayError extends Error {
  constructor(status, text) {
    super(text)
    this.name = 'GatewayError'
    this.status = status
  }
}

export class TemplateError extends Error {
  constructor(text) {
    super(text)
    this.name = 'TemplateError'
  }
}

const GATEWAY_TIMEOUT_MS = 15_000
const TEMPLATES = new Set(['appointment-reminder', 'lab-result-ready', 'referral-received'])

export async function handle(job, { pool, environment }) {
  const { key, template, facility, body } = job.data
  // As real code does: the text of the error holds what it choked on.
  if (!TEMPLATES.has(template)) throw new TemplateError(`template ${template} cannot render ${body}`)
  if (await alreadySent(pool, job, key, environment)) return { outcome: 'duplicate' }
  await send(environment.GATEWAY_URL, { reference: key, facility, body })
  await pool.query("UPDATE deliveries SET state = 'sent', sent_at = now() WHERE business_key = $1", [key])
  return { outcome: 'sent' }
}

// Whether it needs no sending any more. Notes the intent before anything is sent.
async function alreadySent(pool, job, key, environment) {
  const noted = await pool.query(
    "INSERT INTO deliveries (business_key, queue, job_id, state) VALUES ($1, $2, $3, 'sending')" +
      ' ON CONFLICT (business_key) DO NOTHING',
    [key, environment.QUEUE, job.id],
  )
  if (noted.rowCount === 1) return false
  const found = await pool.query('SELECT state FROM deliveries WHERE business_key = $1', [key])
  if (found.rows[0].state === 'sent') return true
  // Somebody began and did not finish: only the gateway knows how far that got.
  const asked = await fetch(`${environment.GATEWAY_URL}/messages/${encodeURIComponent(key)}`, {
    signal: AbortSignal.timeout(GATEWAY_TIMEOUT_MS),
  })
  if (asked.status === 404) return false
  if (!asked.ok) throw new GatewayError(asked.status, `the gateway answered ${asked.status}`)
  await pool.query("UPDATE deliveries SET state = 'sent', sent_at = now() WHERE business_key = $1", [key])
  return true
}

async function send(url, message) {
  const answer = await fetch(`${url}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(message),
    signal: AbortSignal.timeout(GATEWAY_TIMEOUT_MS),
  })
  await answer.arrayBuffer()
  if (!answer.ok) throw new GatewayError(answer.status, `the gateway refused ${JSON.stringify(message)}`)
}
