// Sends one claim to the payer, once (incident domain, A5.4). The row of the claim in PostgreSQL decides, not the queue:
// it is `sending` before the first byte goes out, and nothing but an answer of the payer makes it ready again after that.
// A job holds the number of its claim and nothing else.
//
// Environment: CLAIMS_API_URL, CLAIMS_API_CA_FILE, CLAIMS_API_TIMEOUT_MS, SHA_API_KEY and LAUNCHDARKLY_URL.
import { bundleOf } from './claims/fhir.mjs'
import { circuitOpen } from './claims/circuit.mjs'
import { ClaimsApi } from './claims/api.mjs'
import { handle as handleMessage } from './notifications.mjs'

// The class of what happened, for the log of the worker and for the failed jobs; never a word of the payer.
class ClaimError extends Error {
  constructor(name, { outcome, status }) {
    super(status ? `${outcome}, status ${status}` : outcome)
    this.name = name
    this.status = status
  }
}

const ABANDONED_S = 60
const WRITES = 3
const NOT_CARRIED_OUT = ['unauthorized', 'throttled']
let api

export async function handle(job, context) {
  const { pool, environment } = context
  const { claim } = job.data
  // Without a claims API in the sandbox, a job is a message like every other.
  if (claim === undefined) return handleMessage(job, context)
  api ??= new ClaimsApi(environment)
  const found = (await pool.query('SELECT state, step FROM claims WHERE id = $1', [claim])).rows[0]
  if (found?.state === 'sending') return { outcome: await abandoned(pool, claim) }
  if (found?.state !== 'ready') return { outcome: found?.state ?? 'gone' }
  if (found.step === null && (await circuitOpen(environment.LAUNCHDARKLY_URL))) {
    await pool.query("UPDATE claims SET state = 'deferred' WHERE id = $1 AND state = 'ready' AND step IS NULL", [claim])
    return { outcome: 'deferred' }
  }
  return { outcome: await send(pool, claim, found.step !== null) }
}

async function send(pool, claim, paced) {
  const token = await api.token()
  if (!token.value) {
    await back(pool, claim, 'ready', 0, token)
    throw new ClaimError('ClaimNotSent', token)
  }
  if (paced) await slot(pool)
  const taken = await pool.query(
    "UPDATE claims SET state = 'sending', attempts = attempts + 1 WHERE id = $1 AND state = 'ready' RETURNING *",
    [claim],
  )
  if (taken.rowCount === 0) return 'taken'
  const row = taken.rows[0]
  const answer = await api.submit(token.value, bundleOf(row))
  if (answer.outcome === 'acked' || answer.outcome === 'rejected') {
    await finish(pool, row, answer.outcome, answer)
    return answer.outcome
  }
  if (!answer.begun || NOT_CARRIED_OUT.includes(answer.outcome)) {
    await back(pool, claim, 'sending', row.attempts, answer)
    throw new ClaimError('ClaimNotSent', answer)
  }
  await finish(pool, row, 'unknown', answer)
  throw new ClaimError('ClaimUnknown', answer)
}

// Waits for the next place in the pace of the redrive. One row for all workers: places are handed out one after the
// other and never catch up.
async function slot(pool) {
  const { rows } = await pool.query(
    'UPDATE claim_pace SET next_at = greatest(next_at, clock_timestamp()) + make_interval(secs => 1 / per_second)' +
      ' RETURNING extract(epoch FROM next_at - clock_timestamp()) * 1000 AS ms',
  )
  await new Promise((resolve) => setTimeout(resolve, Number(rows[0].ms)))
}

// Another worker began and did not finish. It may still be at it; if not, only the payer knows how far it got.
async function abandoned(pool, claim) {
  await pool.query(
    "UPDATE claims SET state = 'unknown', outcome = 'abandoned'" +
      " WHERE id = $1 AND state = 'sending' AND since < clock_timestamp() - make_interval(secs => $2)",
    [claim, ABANDONED_S],
  )
  return 'in doubt'
}

// Nothing was carried out: the try does not count, and a claim of a redrive waits for the next one.
async function back(pool, claim, from, attempts, { outcome, ms }) {
  const moved =
    "UPDATE claims SET outcome = $2, state = CASE WHEN step IS NULL THEN 'ready' ELSE 'deferred' END," +
    " attempts = attempts - CASE state WHEN 'sending' THEN 1 ELSE 0 END" +
    " WHERE id = $1 AND state = $4 AND (state = 'ready' OR attempts = $5)"
  await write(pool, moved, [claim, outcome, ms, from, attempts])
}

async function finish(pool, row, state, { body, outcome, ms }) {
  const response = state === 'acked' ? (body?.id ?? null) : null
  const moved =
    'UPDATE claims SET outcome = $2, state = $4, response = $6' +
    " WHERE id = $1 AND state IN ('sending', 'unknown') AND attempts = $5"
  await write(pool, moved, [row.id, outcome, ms, state, row.attempts, response])
}

// With the move of a claim goes the record of the try. Where it cannot be written the claim stays `sending`, which is
// in doubt and asked about, never sent again.
async function write(pool, moved, values) {
  const statement =
    `WITH moved AS (${moved} RETURNING id, claim_type, step)` +
    ' INSERT INTO claim_attempts (claim, claim_type, step, outcome, ms) SELECT id, claim_type, step, $2, $3 FROM moved'
  for (let left = WRITES; ; left -= 1) {
    try {
      await pool.query(statement, values)
      return
    } catch (error) {
      if (left <= 1) throw error
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }
}
