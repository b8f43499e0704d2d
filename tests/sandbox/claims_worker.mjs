// Gives jobs to the claims handler as the worker does, without a queue: one line of JSON on standard input, {claims,
// concurrency, attempts}, is one turn; one line on standard output answers it, {outcome: count}.
import { createInterface } from 'node:readline'

import pg from 'pg'

import { handle } from '../../sandbox/daily_emr_sandbox/worker/handlers/claims.mjs'

const pool = new pg.Pool({ connectionString: process.env.DATABASE, max: 6 })
const context = { pool, environment: process.env, log() {} }

async function turn({ claims, concurrency = 8, attempts = 1 }) {
  const left = [...claims]
  const outcomes = {}
  const one = async () => {
    for (let claim = left.shift(); claim !== undefined; claim = left.shift()) {
      let said
      for (let attempt = 0; attempt < attempts; attempt += 1) {
        try {
          said = (await handle({ id: `${claim}`, data: { claim } }, context)).outcome
          break
        } catch (error) {
          said = `${error.name}${error.status ? `-${error.status}` : ''}`
        }
      }
      outcomes[said] = (outcomes[said] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: concurrency }, one))
  return outcomes
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await turn(JSON.parse(line))))
}
await pool.end()
