// A task of a worker service: takes the jobs of one BullMQ queue and gives each to the handler of that queue.
//
// Environment: QUEUE, QUEUE_PREFIX, QUEUE_ADDRESS (host:port), QUEUE_PASSWORD, BULLMQ (5 or 6), CONCURRENCY,
// POOL_SIZE, LOCK_MS, STALLED_MS, DATABASE_URL, DATABASE_PATH (host:port), TASK_ID, and whatever the handler reads.
//
// A handler is `handlers/<QUEUE>.mjs` with `export async function handle(job, context)`; `context` has `pool` (pg),
// `environment` and `log(event, facts)`. What it returns is the result of the job, what it throws fails the attempt.
// No line of the log tells what a job holds: events, names, classes and numbers only.
import { setTimeout as delay } from 'node:timers/promises'

import pg from 'pg'

const environment = process.env
const { Worker } = await import(environment.BULLMQ === '6' ? 'bullmq6' : 'bullmq5')
const { handle } = await import(`./handlers/${environment.QUEUE}.mjs`)

const LOCK_MS = Number(environment.LOCK_MS ?? 30_000)
const GATHER_MS = 1000

export function log(event, facts = {}) {
  const known = { queue: environment.QUEUE, task: environment.TASK_ID, zone: environment.TASK_ZONE }
  console.log(JSON.stringify({ time: Date.now(), event, ...known, ...facts }))
}

// Class of an error: its name, for one of Redis its first word (READONLY, OOM), and a status where it has one.
export function errorClass(error) {
  const message = error.message ?? ''
  const word = /^[A-Z]{3,}(?= )/.exec(message)?.[0]
  if (error.name === 'ReplyError' && word) return word
  if (/^(missing|could not renew) lock/i.test(message)) return 'LockLost'
  const name = typeof error.code === 'string' ? error.code : error.name
  return error.status ? `${name}-${error.status}` : name
}

function databasePool() {
  const url = new URL(environment.DATABASE_URL)
  const [host, port] = environment.DATABASE_PATH.split(':')
  const pool = new pg.Pool({
    host,
    port: Number(port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: url.pathname.slice(1),
    application_name: 'emr-worker',
    max: Number(environment.POOL_SIZE ?? 2),
    connectionTimeoutMillis: 5000,
    query_timeout: 20_000,
    keepAlive: true,
  })
  pool.on('error', (error) => log('database_error', { class: errorClass(error) }))
  return pool
}

const pool = databasePool()
const context = { pool, environment, log }
let blocks = false
let standing = null
// The defect of a worker that computes without a pause: its event loop stands still for longer than its locks last.
process.on('SIGUSR2', () => {
  blocks = true
})

async function standStill() {
  await delay(GATHER_MS) // until it has taken as many jobs as it may
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_MS * 2)
  standing = null
}

async function run(job) {
  if (blocks) await (standing ??= standStill())
  return handle(job, context)
}

const [host, port] = environment.QUEUE_ADDRESS.split(':')
// No reconnectOnError: like ioredis by default, it stays with a primary that became a replica, and gets READONLY.
const connection = { host, port: Number(port), username: environment.QUEUE_USER, password: environment.QUEUE_PASSWORD }
const worker = new Worker(environment.QUEUE, run, {
  connection: { ...connection, maxRetriesPerRequest: null },
  prefix: environment.QUEUE_PREFIX ?? 'bull',
  name: environment.TASK_ID,
  concurrency: Number(environment.CONCURRENCY ?? 2),
  lockDuration: LOCK_MS,
  stalledInterval: Number(environment.STALLED_MS ?? 30_000),
  runRetryDelay: 1000,
  metrics: { maxDataPoints: 1440 },
  removeOnComplete: { count: 200 },
})

worker.on('failed', (job, error) => {
  log('failed', { job: job?.id, name: job?.name, attempt: job?.attemptsMade, class: errorClass(error) })
})
worker.on('stalled', (job) => log('stalled', { job }))
// A queue that cannot be reached fails several times a second, and says the same each time.
let last = { class: '', at: 0 }
worker.on('error', (error) => {
  const found = errorClass(error)
  if (found === last.class && Date.now() - last.at < 1000) return
  last = { class: found, at: Date.now() }
  log('queue_error', { class: found })
})
worker.on('ready', () => log('ready'))

let closing = false
async function close() {
  if (closing) return
  closing = true
  await worker.close()
  await pool.end()
  log('closed')
  process.exit(0)
}
process.on('SIGTERM', close)
process.on('SIGINT', close)
