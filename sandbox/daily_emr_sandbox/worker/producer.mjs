// What enqueues jobs: the application. It serves the sandbox over HTTP on PRODUCER_ADDRESS (host:port).
//
// A job counts as acknowledged when the primary took it and the replica has it too (WAIT): a failover may not lose it.
//
//   GET  /ledger             {queue: {acknowledged, refused}}
//   GET  /acknowledged       {queue: {id: business key}}
//   POST /produce            {queue, rate, job?, template?}: jobs per second from now on; 0 is none
//   POST /add                {queue, count, job?, template?}: so many at once; answers when they are acknowledged
//   POST /enqueue            {queue, name, jobs}: jobs with these data, of which `key` is the business key
//   POST /call               {queue, method, arguments}: one method of the official Queue, for faults and mending
//   POST /plant              {value}: the synthetic patient value that stands in every job from now on
//   POST /forget             {}: the books begin anew
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'

import { Redis } from 'ioredis'

const environment = process.env
const queues = JSON.parse(environment.QUEUES) // {name: {bullmq, prefix, names}}
const REPLICATED_MS = 1000
const IN_FLIGHT = 64
const ATTEMPTS = { attempts: 3, backoff: { type: 'fixed', delay: 300 } }
const books = {}
const opened = {}
const running = {}

async function open(name) {
  const { bullmq, prefix } = queues[name]
  const { Queue } = await import(bullmq === '6' ? 'bullmq6' : 'bullmq5')
  const [host, port] = environment.QUEUE_ADDRESS.split(':')
  const connection = new Redis({
    host,
    port: Number(port),
    username: environment.QUEUE_USER,
    password: environment.QUEUE_PASSWORD,
    maxRetriesPerRequest: 1,
    // What was refused for this was not done: it goes to the new primary.
    reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
  })
  const queue = new Queue(name, { prefix, connection })
  queue.on('error', () => {}) // the books tell what was refused
  return { queue, connection }
}

function forget() {
  for (const name of Object.keys(queues)) books[name] = { acknowledged: {}, refused: 0 }
}

function jobOf(name, { job, template } = {}) {
  const names = queues[name].names
  const chosen = job ?? names[Math.floor(Math.random() * names.length)]
  const facility = `facility-${1 + Math.floor(Math.random() * 8)}`
  const key = `${name}-${randomUUID()}`
  return { name: chosen, data: { key, template: template ?? chosen, facility, body: planted }, opts: ATTEMPTS }
}

let planted = 'synthetic message'

async function add(name, jobs) {
  const book = books[name]
  try {
    const { queue, connection } = opened[name]
    const made = await queue.addBulk(jobs)
    if ((await connection.wait(1, REPLICATED_MS)) < 1) throw new Error('not replicated')
    for (const job of made) book.acknowledged[job.id] = job.data.key
    return made.length
  } catch {
    book.refused += jobs.length
    return 0
  }
}

function produce(name, { rate, ...what }) {
  clearInterval(running[name]?.timer)
  running[name] = { rate, timer: null }
  if (!(rate > 0)) return
  let open = 0
  // At a high rate several are due in one tick.
  const tick = Math.max(1000 / rate, 50)
  let due = 0
  const step = async () => {
    due += (rate * tick) / 1000
    const count = Math.floor(due)
    due -= count
    if (count < 1 || open >= IN_FLIGHT) return
    open += 1
    await add(name, Array.from({ length: count }, () => jobOf(name, what)))
    open -= 1
  }
  running[name].timer = setInterval(step, tick)
}

const routes = {
  'GET /ledger': () =>
    Object.fromEntries(
      Object.entries(books).map(([name, book]) => [
        name,
        { acknowledged: Object.keys(book.acknowledged).length, refused: book.refused, rate: running[name]?.rate ?? 0 },
      ]),
    ),
  'GET /acknowledged': () => Object.fromEntries(Object.entries(books).map(([name, book]) => [name, book.acknowledged])),
  'POST /produce': ({ queue, ...what }) => produce(queue, what),
  'POST /add': async ({ queue, count, ...what }) => {
    let added = 0
    while (count > 0) {
      const slice = Math.min(count, 500)
      added += await add(queue, Array.from({ length: slice }, () => jobOf(queue, what)))
      count -= slice
    }
    return { added }
  },
  'POST /enqueue': async ({ queue, name, jobs }) => ({
    added: await add(queue, jobs.map((data) => ({ name, data, opts: ATTEMPTS }))),
  }),
  'POST /call': async ({ queue, method, arguments: given = [] }) => {
    const result = await opened[queue].queue[method](...given)
    return { result: typeof result === 'object' && result !== null ? {} : (result ?? null) }
  },
  'POST /plant': ({ value }) => {
    planted = value
  },
  'POST /forget': () => forget(),
}

async function answer(request, response) {
  let status = 200
  let body
  try {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const sent = chunks.length ? JSON.parse(Buffer.concat(chunks).toString() || '{}') : {}
    const route = routes[`${request.method} ${request.url}`]
    if (route) body = (await route(sent)) ?? {}
    else [status, body] = [404, { error: `nothing at ${request.url}` }]
  } catch (error) {
    ;[status, body] = [500, { error: `${error.name}: ${error.message}` }]
  }
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

forget()
for (const name of Object.keys(queues)) opened[name] = await open(name)
const [host, port] = environment.PRODUCER_ADDRESS.split(':')
createServer(answer).listen(Number(port), host)
