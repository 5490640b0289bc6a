// Main thread of a JavaScript runner: speaks frames with the pool, and replaces the worker thread that user code
// stopped, exhausted or ended, so that one invocation is at fault and the rest of its batch goes on.
// User code never runs on this thread.
'use strict';
const fs = require('node:fs');
const net = require('node:net');
const { FrameReader, Frame, frame, sectionsStart } = require('./frames.cjs');
const { Relay } = require('./relay.cjs');
const { Thread } = require('./thread.cjs');

const TICK_MS = 25;
const STUBBORN_MS = 100; // a thread in a long call of the engine does not end when told to
const PROTOCOL = 1;
const [channel, ledger, heapMb] = process.argv.slice(2).map(Number);
const socket = new net.Socket({ fd: channel, readable: true, writable: true });

let load = null; // header of LOAD
let isLoaded = false; // LOADED was answered; later loads are of replacement threads
let thread = null; // the one with the function
let spare = null; // one without, ready to take it over
let batch = null; // { id, bytes, count, next, deadline }
let watchdog = null;
let seen = { step: -1, since: 0 };
let stopping = null; // { index, since } while the thread is being terminated for taking too long

const send = (type, header) => socket.write(frame(type, header));
const relay = new Relay((header, body) => socket.write(frame(Frame.FETCH, header, body)));
const append = (line) => fs.writeSync(ledger, `${JSON.stringify(line)}\n`);
const listener = { onMessage, onExit };
const boot = () => new Thread(ledger, heapMb, listener);

function startThread() {
  stopping = null;
  thread = spare ?? boot();
  spare = null;
  thread.load(load);
  watch();
}

function onMessage(from, message) {
  if (message.loaded) onLoaded(message);
  else if (message.failed) {
    if (isLoaded) process.exit(1); // it loaded before: the pool tries the rest in a fresh process
    idle();
    send(Frame.LOADFAIL, { error: message.failed });
  } else if (message.done) finish();
  else if (message.call && from === thread) relay.ask(from, message);
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
  thread.run(batch.bytes, batch.next);
  watch();
}

function finish() {
  idle();
  const id = batch.id;
  batch = null;
  relay.forgetWaiting();
  send(Frame.RES, { batch: id, recycle: thread.failedLate ? 'late error' : null });
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
  if (stopping) {
    if (now - stopping.since >= STUBBORN_MS) abandon();
    return;
  }
  const { step } = thread;
  if (step !== seen.step) {
    seen = { step, since: now };
    return;
  }
  if (step === 0) return;
  const elapsed = now - seen.since;
  // Started with half of the time left, a replacement is ready when it is needed, and costs nothing before.
  if (elapsed >= limitOf(step) / 2) spare ??= boot();
  if (elapsed >= limitOf(step)) {
    stopping = { index: thread.current, since: now };
    thread.stop();
  }
}

// Step 1 is the load, every later one an invocation. While no step was made the thread is starting: the pool's own
// deadline holds then.
const limitOf = (step) => (step === 1 ? load.limits.load_ms : load.limits.timeout_ms);

// Nothing but the end of the process ends the thread. The pool goes on with the rest in another.
function abandon() {
  if (isLoaded && batch) {
    blame();
    append({ m: '-' });
  }
  process.kill(process.pid, 'SIGKILL');
}

function onExit(from, code) {
  if (from === spare) spare = null;
  if (from !== thread) return;
  if (!isLoaded) {
    idle();
    send(Frame.LOADFAIL, { error: loadError(code) });
    return;
  }
  // Loaded before but not now, or ended by what an earlier invocation left running: the pool starts a fresh process.
  if (thread.step <= 1 || (!batch && !stopping)) process.exit(1);
  if (!batch) {
    startThread();
    return;
  }
  blame(code);
  relay.forgetWaiting();
  // From here to the next thread's first step no invocation is running, so none is to blame for what happens.
  append({ m: '-' });
  if (batch.next >= batch.count || performance.now() > batch.deadline) finish();
  startThread();
}

function blame(code) {
  batch.next = thread.next;
  const index = thread.current;
  // The one that was too slow may have finished just before the thread stopped: then nobody is at fault.
  if (index < batch.next || (stopping && stopping.index !== index)) return;
  append({ i: index, ms: performance.now() - seen.since, ...verdict(code) });
  batch.next = index + 1;
}

function verdict(code) {
  if (stopping) {
    return { s: 'timeout', e: { class: 'Timeout', message: `onRequest did not finish within ${load.limits.timeout_ms} ms.` } };
  }
  if (thread.ranOutOfMemory) {
    return { s: 'memory', e: { class: 'OutOfMemory', message: `The function used more than ${heapMb} MB of heap.` } };
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
    startThread();
  } else if (type === Frame.RUN) {
    const deadline = performance.now() + load.limits.batch_ms;
    batch = { id: header.batch, bytes, count: header.lens.length / 2, next: 0, deadline };
    // A thread that is being replaced takes the batch when it has loaded.
    if (!watchdog) dispatch();
  } else if (type === Frame.FETCHED) {
    relay.settle(header, bytes.subarray(sectionsStart(bytes)));
  } else if (type === Frame.STOP) {
    process.exit(0);
  }
}

const reader = new FrameReader(onFrame);
socket.on('data', (chunk) => reader.feed(chunk));
socket.on('end', () => process.exit(0)); // the pool is gone
socket.on('error', () => process.exit(0));
spare = boot();
send(Frame.HELLO, { proto: PROTOCOL, language: 'javascript', engine: process.version, pid: process.pid });
