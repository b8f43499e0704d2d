// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// Private: the only way to a BullMQ queue. May change without notice.
//
// One request as JSON on stdin, one answer as JSON on stdout. Reads count and measure; a change is one call of the
// official package, in the version whose key layout the queue has. Data, return values, messages and stack traces of
// jobs stay in here: of a failure only its class gets out, of a job only a handle that names it.

import { createHash, createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)

const BATCH = 500
const AT_ONCE = 20
// What is looked at of a long list. More is never needed to see what is wrong with a queue.
const SAMPLE = 200
const MOST = 50_000
const QUARANTINE = '-quarantine'
const SHORT_HASH = 12

class Trouble extends Error {
  // sent: whether something that changes the queue may have reached it.
  constructor(word, sent = false) {
    super(word)
    this.word = word
    this.sent = sent
  }
}

// -- connection --------------------------------------------------------------------------------------------------

function connect(request) {
  const { Redis } = load('ioredis')
  const { host, port, tls, user, password } = request.place
  const client = new Redis({
    host,
    port,
    username: user,
    password,
    tls: tls ? {} : undefined,
    connectionName: request.client,
    lazyConnect: true,
    connectTimeout: request.connect_ms,
    commandTimeout: request.command_ms,
    // Nothing is ever sent a second time by itself.
    retryStrategy: null,
    reconnectOnError: null,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableReadyCheck: false,
    enableOfflineQueue: true,
  })
  return client
}

function load(name) {
  try {
    return require(name)
  } catch {
    throw new Trouble('not installed')
  }
}

// The class of an error of the server or of the way to it, as a word; its text may name keys and values.
function wordOf(error) {
  if (error instanceof Trouble) return error.word
  const text = String(error?.message ?? '')
  const code = String(error?.code ?? error?.cause?.code ?? '')
  if (/^READONLY/.test(text)) return 'read-only'
  if (/^OOM/.test(text)) return 'out of memory'
  if (/^LOADING/.test(text)) return 'loading'
  if (/^MASTERDOWN/.test(text)) return 'primary down'
  if (/^(NOAUTH|WRONGPASS)/.test(text)) return 'auth'
  if (/^NOPERM/.test(text)) return 'permission denied'
  if (code === 'ECONNREFUSED') return 'refused'
  if (code === 'ETIMEDOUT' || /timed out/i.test(text)) return 'timeout'
  if (/closed|ECONNRESET|EPIPE|aborted|max retries/i.test(`${text} ${code}`)) return 'closed'
  if (/ENOTFOUND|EAI_AGAIN/.test(code)) return 'no such host'
  return 'error'
}

// The server answered with an error: the command was not done. Everything else may have been.
const ANSWERED = new Set(['read-only', 'out of memory', 'loading', 'primary down', 'auth', 'permission denied'])

async function all(pipeline) {
  const answers = await pipeline.exec()
  return answers.map(([error, value]) => {
    if (error) throw error
    return value
  })
}

// -- what a queue says -------------------------------------------------------------------------------------------

const keyOf = (queue, part) => `${queue.prefix}:${queue.name}:${part}`
const hash = (text) => createHash('sha256').update(text).digest('hex').slice(0, SHORT_HASH)
const number = (text) => (text === null || text === undefined || text === '' ? null : Number(text))

// What names a job outside. An id is often a small number, which a mere hash would give away to whoever tries them all;
// the name that the server gives its data is only known to those who can see the ids anyway. It changes with a failover:
// what was sent before it is then judged by nobody, and no more is sent.
async function handlesOf(client, queue) {
  const key = /^master_replid:(\w+)/m.exec(await client.info('replication'))?.[1]
  if (!key) throw new Trouble('nameless')
  return (id) => createHmac('sha256', key).update(`${queue.prefix}\0${queue.name}\0${id}`).digest('hex').slice(0, SHORT_HASH)
}

function layoutOf(version) {
  const found = /^bullmq:([56])\.\d+\.\d+/.exec(version ?? '')
  return found ? Number(found[1]) : null
}

async function counters(client, queue) {
  const key = (part) => keyOf(queue, part)
  const pipeline = client.pipeline()
  pipeline.time()
  pipeline.hmget(key('meta'), 'version', 'paused', 'concurrency', 'max', 'duration')
  for (const list of ['wait', 'paused', 'active']) pipeline.llen(key(list))
  for (const set of ['delayed', 'prioritized', 'waiting-children', 'completed', 'failed']) pipeline.zcard(key(set))
  pipeline.get(key('id'))
  pipeline.hget(key('metrics:completed'), 'count')
  pipeline.hget(key('metrics:failed'), 'count')
  pipeline.info('everything')
  const [time, meta, wait, paused, active, delayed, prioritized, children, completed, failed, ids, ...rest] =
    await all(pipeline)
  const [version, isPaused, concurrency, max, duration] = meta
  return {
    at_ms: Number(time[0]) * 1000 + Math.floor(Number(time[1]) / 1000),
    version: /^[a-z-]{1,20}:[0-9.]{1,20}$/.test(version ?? '') ? version : null,
    layout: layoutOf(version),
    paused: isPaused !== null,
    concurrency: number(concurrency),
    rate_max: number(max),
    rate_ms: number(duration),
    counts: { wait, paused, active, delayed, prioritized, children, completed, failed },
    added: number(ids) ?? 0,
    completed_ever: number(rest[0]),
    failed_ever: number(rest[1]),
    server: serverOf(rest[2]),
  }
}

function serverOf(info) {
  const lines = info.split(/\r?\n/).map((line) => line.split(/:(.*)/s, 2))
  const fields = Object.fromEntries(lines.filter(([, value]) => value !== undefined))
  const errors = (name) => Number(/count=(\d+)/.exec(fields[`errorstat_${name}`] ?? '')?.[1] ?? 0)
  return {
    role: fields.role ?? null,
    uptime_s: number(fields.uptime_in_seconds),
    loading: fields.loading === '1',
    replicas: number(fields.connected_slaves),
    used_bytes: number(fields.used_memory),
    limit_bytes: number(fields.maxmemory),
    policy: fields.maxmemory_policy ?? null,
    evicted: number(fields.evicted_keys),
    clients: number(fields.connected_clients),
    rejected_connections: number(fields.rejected_connections),
    read_only_errors: errors('READONLY'),
    memory_errors: errors('OOM'),
  }
}

async function look(client, request) {
  const { queue } = request
  const key = (part) => keyOf(queue, part)
  const first = await counters(client, queue)
  const pipeline = client.pipeline()
  pipeline.lindex(key('wait'), -1)
  pipeline.lindex(key('paused'), -1)
  pipeline.zrange(key('prioritized'), 0, SAMPLE - 1)
  pipeline.lrange(key('active'), 0, SAMPLE - 1)
  pipeline.zrevrange(key('completed'), 0, SAMPLE - 1)
  pipeline.zcount(key('failed'), first.at_ms - request.window_ms, '+inf')
  pipeline.zcount(key('completed'), first.at_ms - request.window_ms, '+inf')
  // The score of a delayed job is when it is due, in milliseconds, times 4096.
  pipeline.zcount(key('delayed'), '-inf', first.at_ms * 4096)
  const [waiting, held, prioritized, active, completed, failedLately, completedLately, due] = await all(pipeline)
  const [oldest, running, done, failures, workers] = [
    await oldestOf(client, queue, [waiting, held, ...prioritized].filter((id) => id !== null)),
    await runningOf(client, queue, active),
    await durationsOf(client, queue, completed),
    await failuresOf(client, queue, request.classify),
    await workersOf(client, queue),
  ]
  await new Promise((resolve) => setTimeout(resolve, request.between_ms))
  const second = await counters(client, queue)
  const later = await runningOf(client, queue, await client.lrange(key('active'), 0, SAMPLE - 1))
  const age = (moment) => (moment === null ? null : Math.max(first.at_ms - moment, 0))
  return {
    first,
    second,
    oldest_ms: age(oldest),
    due,
    failed_lately: failedLately,
    completed_lately: completedLately,
    active: {
      sampled: active.length,
      unlocked: Math.max(running.unlocked, later.unlocked),
      ages_ms: running.started.map(age),
    },
    stalled_lately: await stallsOf(client, queue, [...active, ...completed], first.at_ms - request.stall_window_ms),
    durations_ms: done,
    failures,
    workers,
  }
}

// The same, at once: what waits, since when, and who is there.
async function brief(client, request) {
  const { queue } = request
  const state = await counters(client, queue)
  const key = (part) => keyOf(queue, part)
  const ends = client.pipeline().lindex(key('wait'), -1).lindex(key('paused'), -1).zrange(key('prioritized'), 0, SAMPLE - 1)
  const [waiting, held, prioritized] = await all(ends)
  const oldest = await oldestOf(client, queue, [waiting, held, ...prioritized].filter((id) => id !== null))
  const oldest_ms = oldest === null ? null : Math.max(state.at_ms - oldest, 0)
  return { ...state, oldest_ms, workers: await workersOf(client, queue) }
}

async function fieldsOf(client, queue, ids, ...fields) {
  const found = []
  for (let start = 0; start < ids.length; start += BATCH) {
    const pipeline = client.pipeline()
    for (const id of ids.slice(start, start + BATCH)) pipeline.hmget(keyOf(queue, id), ...fields)
    found.push(...(await all(pipeline)))
  }
  return found
}

async function oldestOf(client, queue, ids) {
  const moments = (await fieldsOf(client, queue, ids, 'timestamp')).map(([at]) => number(at)).filter((at) => at !== null)
  return moments.length ? Math.min(...moments) : null
}

// Active jobs: when each began, and how many have lost their lock.
async function runningOf(client, queue, ids) {
  // At once: a job that is done meanwhile loses its lock and its place together.
  const together = client.multi()
  for (const id of ids) together.exists(keyOf(queue, `${id}:lock`)).lpos(keyOf(queue, 'active'), id)
  const found = ids.length ? await all(together) : []
  const fields = await fieldsOf(client, queue, ids, 'processedOn')
  return {
    unlocked: ids.filter((_id, place) => found[place * 2] === 0 && found[place * 2 + 1] !== null).length,
    started: fields.map(([at]) => number(at)).filter((at) => at !== null),
  }
}

// Jobs that had to be started again because their lock ran out, and are worked at or were done since a moment.
async function stallsOf(client, queue, ids, since_ms) {
  const fields = await fieldsOf(client, queue, ids, 'stc', 'finishedOn')
  return fields.filter(([stalled, ended]) => Number(stalled ?? 0) > 0 && (ended === null || Number(ended) >= since_ms)).length
}

async function durationsOf(client, queue, ids) {
  const fields = await fieldsOf(client, queue, ids, 'processedOn', 'finishedOn')
  return fields
    .filter(([began, ended]) => began !== null && ended !== null)
    .map(([began, ended]) => Number(ended) - Number(began))
}

async function workersOf(client, queue) {
  const name = `${queue.prefix}:${Buffer.from(queue.name).toString('base64')}`
  let list
  try {
    list = await client.client('LIST')
  } catch (error) {
    if (wordOf(error) === 'permission denied' || /unknown command/i.test(String(error?.message))) return null
    throw error
  }
  const names = list.split('\n').map((line) => /(?:^| )name=([^ ]*)/.exec(line)?.[1] ?? '')
  return names.filter((found) => found === name || found.startsWith(`${name}:w:`)).length
}

// -- classes of failures -----------------------------------------------------------------------------------------

const NETWORK = /\b(ECONNREFUSED|ECONNRESET|ECONNABORTED|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EPIPE|EHOSTUNREACH|UND_ERR_[A-Z_]+)\b/
const STATUS = /\b(?:status(?: code)?|http(?: status)?|code|answered(?: with)?)\D{0,3}([45]\d\d)\b/i
const DATABASE =
  /too many clients|remaining connection slots|connection terminated|terminating connection|timeout exceeded when trying to connect|deadlock detected|canceling statement|read-only transaction|database system is/i
const CERTIFICATE = /certificate|CERT_|SSL routines|self-signed/
const OF_OTHERS = /^(Gateway|Http|Network|Fetch|Axios|Request|Connection|Upstream|Timeout|Abort|Api)/i
const GONE = /timed? ?out|timeout|aborted|\b(connect|connection|network|socket|dns)\b/i

// Class, status and a hash of where it happened. Nothing of the message or of the stack is kept.
function failureOf(name, reason, stacktrace) {
  const stack = lastStack(stacktrace)
  const lines = stack.split('\n')
  const said = /^([A-Za-z][A-Za-z0-9_]{0,60})\b/.exec(lines[0])?.[1] ?? 'Error'
  const kind = kindOf(said)
  // What stands behind the first brace or quote is data, which may hold numbers of its own.
  const text = `${reason ?? ''}`.split(/[{"']/, 1)[0]
  const code = STATUS.exec(text)?.[1] ?? NETWORK.exec(text)?.[1] ?? null
  const frame = /\(?([^()\s/\\]+:\d+):\d+\)?$/.exec((lines.find((line) => /^\s+at /.test(line)) ?? '').trim())?.[1] ?? ''
  const job = /^[A-Za-z][A-Za-z0-9._-]{0,40}$/.test(name ?? '') ? name : `name ${hash(String(name))}`
  return { job, class: kind, code, about: aboutOf(text, code, kind), signature: hash([job, kind, code, frame].join('\0')) }
}

// The name of a class is code; any other first word of a stack could be anything.
function kindOf(said) {
  if (said === 'error') return 'DatabaseError' // as the driver of PostgreSQL names its own
  return /^[A-Z][A-Za-z]{0,40}(Error|Exception|Fault)$|^Error$/.test(said) ? said : 'Error'
}

function aboutOf(text, code, kind) {
  if (DATABASE.test(text) || kind === 'DatabaseError') return 'database'
  if (CERTIFICATE.test(text)) return 'credentials'
  if (code === '401' || code === '403') return 'credentials'
  if (code === '429') return 'limit'
  if (code !== null && /^[A-Z5]/.test(code)) return 'dependency'
  if (code === '408' || (code === null && (GONE.test(text) || OF_OTHERS.test(kind)))) return 'dependency'
  return code === null ? 'code' : 'validation'
}

function lastStack(stacktrace) {
  try {
    const found = JSON.parse(stacktrace ?? '[]')
    return String((Array.isArray(found) ? found.at(-1) : '') ?? '')
  } catch {
    return ''
  }
}

async function* failedJobs(client, queue, before_ms) {
  for (let offset = 0; offset < MOST; offset += BATCH) {
    const answer = await client.zrangebyscore(keyOf(queue, 'failed'), '-inf', before_ms, 'WITHSCORES', 'LIMIT', offset, BATCH)
    const ids = answer.filter((_item, place) => place % 2 === 0)
    const fields = await fieldsOf(client, queue, ids, 'name', 'failedReason', 'stacktrace')
    for (const [place, [name, reason, stacktrace]] of fields.entries()) {
      yield { id: ids[place], at_ms: Number(answer[place * 2 + 1]), ...failureOf(name, reason, stacktrace) }
    }
    if (ids.length < BATCH) return
  }
}

// The newest failures, grouped by signature, the largest group first.
async function failuresOf(client, queue, most) {
  const answer = await client.zrevrange(keyOf(queue, 'failed'), 0, most - 1, 'WITHSCORES')
  const ids = answer.filter((_item, place) => place % 2 === 0)
  const fields = await fieldsOf(client, queue, ids, 'name', 'failedReason', 'stacktrace')
  const groups = new Map()
  for (const [place, [name, reason, stacktrace]] of fields.entries()) {
    const found = failureOf(name, reason, stacktrace)
    const at_ms = Number(answer[place * 2 + 1])
    const known = groups.get(found.signature) ?? { ...found, count: 0, oldest_ms: at_ms, newest_ms: at_ms }
    known.count += 1
    known.oldest_ms = Math.min(known.oldest_ms, at_ms)
    known.newest_ms = Math.max(known.newest_ms, at_ms)
    groups.set(found.signature, known)
  }
  return [...groups.values()].sort((left, right) => right.count - left.count)
}

// How many failed jobs a slice is taken from, and the handles of the first ones.
async function failed(client, request) {
  const { queue } = request
  const handle = await handlesOf(client, queue)
  let count = 0
  const handles = []
  for await (const job of failedJobs(client, queue, request.before_ms)) {
    if (request.signatures.length && !request.signatures.includes(job.signature)) continue
    count += 1
    if (handles.length < request.limit) handles.push(handle(job.id))
  }
  const state = await counters(client, queue)
  return { ...state, matching: count, handles, workers: await workersOf(client, queue) }
}

// What became of the jobs of a slice: each is judged by itself, and nothing else is.
async function judge(client, request) {
  const { queue } = request
  const handle = await handlesOf(client, queue)
  const wanted = new Set(request.handles)
  const places = { pending: 0, failed: 0, completed: 0 }
  const seen = new Set()
  const take = (place, ids) => {
    for (const id of ids) {
      const name = handle(id)
      if (wanted.has(name) && !seen.has(name)) {
        seen.add(name)
        places[place] += 1
      }
    }
  }
  const key = (part) => keyOf(queue, part)
  const pipeline = client.pipeline()
  for (const list of ['wait', 'paused', 'active']) pipeline.lrange(key(list), 0, MOST)
  for (const set of ['prioritized', 'delayed', 'waiting-children']) pipeline.zrange(key(set), 0, MOST)
  const open = await all(pipeline)
  if (open.some((ids) => ids.length > MOST)) throw new Trouble('too long')
  for (const ids of open) take('pending', ids)
  take('failed', await client.zrange(key('failed'), 0, -1))
  take('completed', await client.zrevrange(key('completed'), 0, MOST))
  // A job may be removed when it has completed, or have moved while it was looked for: who asks looks again.
  return { ...places, gone: wanted.size - seen.size }
}

// -- changes -----------------------------------------------------------------------------------------------------

async function withQueue(client, request, name, act) {
  const { queue, expects } = request
  const version = await client.hget(keyOf(queue, 'meta'), 'version')
  const layout = layoutOf(version)
  if (layout === null) throw new Trouble('unknown layout')
  if (layout !== expects.layout) throw new Trouble('moved')
  const { Queue } = load(`bullmq${layout}`)
  const opened = new Queue(name, {
    connection: client,
    prefix: queue.prefix,
    skipVersionCheck: true,
    // Only whoever owns a queue says which version it has.
    skipMetasUpdate: name === queue.name,
  })
  opened.on('error', () => {})
  await opened.waitUntilReady()
  return act(opened, layout)
}

// One call of the package. What the server refuses was not done; what got no answer may have been.
async function once(call) {
  try {
    return await call()
  } catch (error) {
    const word = wordOf(error)
    throw new Trouble(word, !ANSWERED.has(word))
  }
}

// In layout 5 pause and resume rename the list of waiting jobs over the other one, and what stands there is lost. Looked
// at for its own sake: the list that is renamed may be filled between this look and the call.
async function nothingAt(client, queue, layout, target) {
  if (layout === 5 && (await client.llen(keyOf(queue, target))) > 0) throw new Trouble('both lists')
}

const changes = {
  pause: (client, request) =>
    withQueue(client, request, request.queue.name, async (queue, layout) => {
      await nothingAt(client, request.queue, layout, 'paused')
      await once(() => queue.pause())
      return {}
    }),

  resume: (client, request) =>
    withQueue(client, request, request.queue.name, async (queue, layout) => {
      await nothingAt(client, request.queue, layout, 'wait')
      await once(() => queue.resume())
      return {}
    }),

  set_concurrency: (client, request) =>
    withQueue(client, request, request.queue.name, async (queue) => {
      await once(() => (request.value > 0 ? queue.setGlobalConcurrency(request.value) : queue.removeGlobalConcurrency()))
      return {}
    }),

  set_rate: (client, request) =>
    withQueue(client, request, request.queue.name, async (queue) => {
      await once(() => (request.value > 0 ? queue.setGlobalRateLimit(request.value, request.per_ms) : queue.removeGlobalRateLimit()))
      return {}
    }),

  // Job by job: retryJobs({count}) of the package takes count for a batch and moves all.
  retry: (client, request) =>
    withQueue(client, request, request.queue.name, async (queue, layout) => {
      const { Job } = load(`bullmq${layout}`)
      const ids = await chosen(client, request)
      const moved = await each(ids, async (id, wrote) => {
        const job = await Job.fromId(queue, id)
        if (!job) return false
        try {
          await job.retry('failed')
        } catch (error) {
          // A job that is not there any more was taken by somebody else, and is theirs.
          if (/Missing key for job|is not in the/.test(String(error.message))) return false
          throw error
        }
        wrote()
        return true
      })
      return { moved }
    }),

  // First the copy, then the original: whatever happens between the two, the job is there. Who takes the original
  // meanwhile has it, and the copy goes again: a job in both places would be done twice.
  quarantine: (client, request) =>
    withQueue(client, request, request.queue.name, (queue, layout) =>
      withQueue(client, request, request.queue.name + QUARANTINE, async (shelf) => {
        const { Job } = load(`bullmq${layout}`)
        const ids = await chosen(client, request)
        if (!(await shelf.isPaused())) await once(() => shelf.pause())
        const moved = await each(ids, async (id, wrote) => {
          const job = await Job.fromId(queue, id)
          if (!job || job.parentKey || (await hasChildren(client, request.queue, id))) return false
          if (!(await job.isFailed())) return false
          // An id may be used again once its job is put aside; with the time it was made, no two copies are one.
          const copy = await shelf.add(job.name, job.data, kept(job, `q-${job.timestamp}-${id}`))
          wrote()
          if ((await job.isFailed()) && (await removed(job))) return true
          if (await removed(copy)) return false
          throw new Trouble('in two places', true)
        })
        return { moved }
      }),
    ),

  // The way back: what lies longest in the quarantine is added again, and then taken from there. The copy of a job that
  // never left, because its move broke off, is only taken away.
  release: (client, request) =>
    withQueue(client, request, request.queue.name, (queue, layout) =>
      withQueue(client, request, request.queue.name + QUARANTINE, async (shelf) => {
        const { Job } = load(`bullmq${layout}`)
        const jobs = await shelf.getJobs(['wait', 'paused', 'prioritized'], 0, request.limit - 1, true)
        const moved = await each(jobs.slice(0, request.limit), async (copy, wrote) => {
          const original = await Job.fromId(queue, copy.id.replace(/^q-\d+-/, ''))
          if (original?.timestamp !== copy.timestamp) await queue.add(copy.name, copy.data, kept(copy, copy.id))
          wrote()
          if (await removed(copy)) return true
          throw new Trouble('in two places', true)
        })
        return { moved }
      }),
    ),
}

// Whether a job could be removed; one that somebody works at cannot.
async function removed(job) {
  try {
    await job.remove({ removeChildren: false })
    return true
  } catch (error) {
    if (/could not be removed/.test(String(error.message))) return false
    throw error
  }
}

async function hasChildren(client, queue, id) {
  const parts = ['dependencies', 'processed', 'failed', 'unsuccessful']
  return (await client.exists(...parts.map((part) => keyOf(queue, `${id}:${part}`)))) > 0
}

function kept(job, jobId) {
  const { parent, repeat, repeatJobKey, delay, deduplication, de, ...options } = job.opts
  return { ...options, jobId, timestamp: job.timestamp }
}

// The ids of the failed jobs that were seen when the change was planned, and of no other.
async function chosen(client, request) {
  const handle = await handlesOf(client, request.queue)
  const wanted = new Set(request.handles)
  const ids = []
  for await (const job of failedJobs(client, request.queue, request.before_ms)) {
    if (wanted.has(handle(job.id))) ids.push(job.id)
  }
  return ids
}

// Some at a time, and all of those are waited for before any is judged. What was written, if only the half of a move,
// makes it unknown whether the change was done.
async function each(items, act) {
  let moved = 0
  let written = false
  const wrote = () => {
    written = true
  }
  for (let start = 0; start < items.length; start += AT_ONCE) {
    const results = await Promise.allSettled(items.slice(start, start + AT_ONCE).map((item) => act(item, wrote)))
    moved += results.filter(({ value }) => value).length
    const broken = results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason)
    if (broken.length) {
      const maybe = broken.find((error) => !ANSWERED.has(wordOf(error)))
      throw new Trouble(wordOf(maybe ?? broken[0]), written || maybe !== undefined)
    }
  }
  return moved
}

// -- one request -------------------------------------------------------------------------------------------------

const reads = { look, brief, failed, judge, counters: (client, request) => counters(client, request.queue) }

async function perform(request) {
  const act = reads[request.command] ?? changes[request.command]
  if (!act) throw new Trouble('unknown command')
  const client = connect(request)
  let heard
  client.on('error', (error) => {
    heard = error
  })
  try {
    // The promise only says that the connection is closed; why, the event has said.
    await client.connect().catch((error) => {
      throw new Trouble(wordOf(heard ?? error))
    })
    return await act(client, request)
  } finally {
    client.disconnect()
  }
}

export async function answer(request) {
  try {
    return { ok: true, result: await perform(request) }
  } catch (error) {
    return { ok: false, trouble: wordOf(error), sent: error instanceof Trouble && error.sent }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const said = await answer(JSON.parse(readFileSync(0, 'utf8')))
  process.stdout.write(JSON.stringify(said), () => process.exit(0))
}
