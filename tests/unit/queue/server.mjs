// One process for many tests: the program of the collection, and what producers and workers do, asked by lines of JSON.
// Steps of {jobs}: {add, name, count, data, opts}, {work, throws: {name: {class, message}}}, {pause}, {raw_pause},
// {concurrency}, {rate}, {remove, id}, {meanwhile, act}, on a queue of the version that is named.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const require = createRequire(import.meta.url)
const { answer } = await import(pathToFileURL(process.argv[2]).href)

function thrown({ class: name, message }) {
  const error = new Error(message)
  error.name = name
  error.stack = error.stack.replace(/^Error/, name)
  return error
}

async function work(queue, Worker, connection, { throws = {} }) {
  const act = async (job) => {
    if (throws[job.name]) throw thrown(throws[job.name])
  }
  const worker = new Worker(queue.name, act, { connection, concurrency: 50, drainDelay: 1 })
  const open = () => queue.getJobCountByTypes('wait', 'active', 'prioritized')
  while ((await open()) > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  await worker.close(true)
}

// Once, between the moment in which the program has chosen a job and what it does to it.
const meanwhile = {
  // Somebody else sends it again.
  taken: async (_Job, job) => job.retry('failed'),
  // The same, when its copy has been made.
  taken_late: async (Job, job) => {
    const { isFailed } = Job.prototype
    let looks = 0
    job.isFailed = async () => {
      looks += 1
      if (looks === 2) await job.retry('failed')
      return isFailed.call(job)
    }
  },
  // The server refuses what is done to it, and to no other.
  refused: async () => {
    throw new Error('OOM command not allowed when used memory > maxmemory')
  },
}

function before(Job, act) {
  const { fromId } = Job
  Job.fromId = async (...asked) => {
    Job.fromId = fromId
    const job = await fromId.apply(Job, asked)
    await meanwhile[act](Job, job)
    return job
  }
}

async function jobs({ port, version, name, steps }) {
  const { Job, Queue, Worker } = require(`bullmq${version}`)
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  const queue = new Queue(name, { connection })
  await queue.waitUntilReady()
  for (const step of steps) {
    if (step.do === 'add') {
      const one = { name: step.name, data: step.data ?? {}, opts: step.opts }
      await queue.addBulk(Array.from({ length: step.count }, () => one))
    }
    if (step.do === 'work') await work(queue, Worker, connection, step)
    if (step.do === 'pause') await queue.pause()
    // What nobody should ever do.
    if (step.do === 'raw_pause') await (await queue.client).hset(queue.toKey('meta'), 'paused', 1)
    if (step.do === 'concurrency') await queue.setGlobalConcurrency(step.value)
    if (step.do === 'rate') await queue.setGlobalRateLimit(step.value, 1000)
    if (step.do === 'remove') await queue.remove(step.id)
    if (step.do === 'meanwhile') before(Job, step.act)
  }
  await queue.close()
  return {}
}

for await (const line of createInterface({ input: process.stdin })) {
  const { program, ...request } = JSON.parse(line)
  const said = program ? await answer(program) : await jobs(request)
  process.stdout.write(`${JSON.stringify(said)}\n`)
}
