// Main thread of a JavaScript runner: speaks frames with the pool, and replaces the worker thread that user code
// stopped, exhausted or ended, so that one invocation is at fault and the rest of its batch goes on.
// User code never runs on this thread.
'use strict';
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { Worker } = require('node:worker_threads');
const { FrameReader, Frame, frame } = require('./frames.cjs');
const { CURRENT, NEXT, STEP, PROGRESS_BYTES } = require('./progress.cjs');

const TICK_MS = 25;
const PROTOCOL = 1;
const ledger = Number(process.argv[3]);
const socket = new net.Socket({ fd: Number(process.argv[2]), readable: true, writable: true });

let load = null; // header of LOAD
let isLoaded = false; // LOADED was answered; later loads are of replacement workers
let worker = null;
let progress = null; // shared with the worker
let batch = null; // { id, bytes, count, next, deadline }
let watchdog = null;
let seen = { step: -1, since: 0 };
let stopping = null; // { index } while the worker is being terminated for taking too long
let failure = null; // 'error' event of the worker, which comes before its 'exit'

const send = (type, header) => socket.write(frame(type, header));
const append = (line) => fs.writeSync(ledger, `${JSON.stringify(line)}\n`);

function startWorker() {
  progress = new Int32Array(new SharedArrayBuffer(PROGRESS_BYTES));
  progress[CURRENT] = -1;
  stopping = failure = null;
  worker = new Worker(path.join(__dirname, 'worker.cjs'), {
    workerData: { load, ledger, progress },
    resourceLimits: { maxOldGenerationSizeMb: load.limits.memory_mb },
    env: {},
    execArgv: [],
    stdout: true,
    stderr: true,
  });
  worker.stdout.resume();
  worker.stderr.resume();
  worker.on('message', onMessage);
  worker.on('error', (error) => { failure = error; });
  worker.on('exit', onExit);
  watch();
}

function onMessage(message) {
  if (message.loaded) onLoaded(message);
  else if (message.failed) {
    if (isLoaded) process.exit(1); // it loaded before: the pool tries the rest in a fresh process
    idle();
    send(Frame.LOADFAIL, { error: message.failed });
  } else if (message.done) finish();
}

function onLoaded(message) {
  if (!isLoaded) {
    isLoaded = true;
    send(Frame.LOADED, { ms: message.loaded });
  }
  if (batch) dispatch();
  else idle();
}

function dispatch() {
  progress[NEXT] = batch.next;
  progress[CURRENT] = -1;
  worker.postMessage({ bytes: batch.bytes, next: batch.next });
  watch();
}

function finish() {
  idle();
  const id = batch.id;
  batch = null;
  send(Frame.RES, { batch: id, recycle: null });
}

function watch() {
  seen = { step: -1, since: 0 };
  watchdog ??= setInterval(tick, TICK_MS);
}

function idle() {
  clearInterval(watchdog);
  watchdog = null;
}

function tick() {
  const now = performance.now();
  const step = Atomics.load(progress, STEP);
  if (step !== seen.step) seen = { step, since: now };
  else if (!stopping && step > 0 && now - seen.since >= limitOf(step)) {
    stopping = { index: Atomics.load(progress, CURRENT) };
    worker.terminate();
  }
}

// Step 1 is the load, every later one an invocation. While no step was made the thread is starting: the pool's own
// deadline holds then.
const limitOf = (step) => (step === 1 ? load.limits.load_ms : load.limits.timeout_ms);

function onExit(code) {
  if (!isLoaded) {
    idle();
    send(Frame.LOADFAIL, { error: loadError(code) });
    return;
  }
  // Loaded before but not now, or ended by what an earlier invocation left running: the pool starts a fresh process.
  if (Atomics.load(progress, STEP) <= 1 || (!batch && !stopping)) process.exit(1);
  if (!batch) {
    startWorker();
    return;
  }
  blame(code);
  // From here to the next worker's first step no invocation is running, so none is to blame for what happens.
  append({ m: '-' });
  if (batch.next >= batch.count || performance.now() > batch.deadline) finish();
  startWorker();
}

function blame(code) {
  batch.next = Atomics.load(progress, NEXT);
  const index = Atomics.load(progress, CURRENT);
  // The one that was too slow may have finished just before the thread stopped: then nobody is at fault.
  if (index < batch.next || (stopping && stopping.index !== index)) return;
  append({ i: index, ms: performance.now() - seen.since, ...verdict(code) });
  batch.next = index + 1;
}

function verdict(code) {
  if (stopping) {
    return { s: 'timeout', e: { class: 'Timeout', message: `onRequest did not finish within ${load.limits.timeout_ms} ms.` } };
  }
  if (failure?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return { s: 'memory', e: { class: 'OutOfMemory', message: `The function used more than ${load.limits.memory_mb} MB of heap.` } };
  }
  return { s: 'crash', e: { class: 'RunnerCrashed', message: `The function ended its thread with code ${code}.` } };
}

function loadError(code) {
  if (stopping) return { class: 'Timeout', message: `The top level of ${load.file} did not finish within ${load.limits.load_ms} ms.` };
  return verdict(code).e;
}

function onFrame(type, header, bytes) {
  if (type === Frame.LOAD) {
    load = header;
    startWorker();
  } else if (type === Frame.RUN) {
    const deadline = performance.now() + load.limits.batch_ms;
    batch = { id: header.batch, bytes, count: header.lens.length / 2, next: 0, deadline };
    // A worker that is being replaced takes the batch when it has loaded.
    if (!watchdog) dispatch();
  } else if (type === Frame.STOP) {
    process.exit(0);
  }
}

const reader = new FrameReader(onFrame);
socket.on('data', (chunk) => reader.feed(chunk));
socket.on('end', () => process.exit(0)); // the pool is gone
socket.on('error', () => process.exit(0));
send(Frame.HELLO, { proto: PROTOCOL, language: 'javascript', engine: process.version, pid: process.pid });
