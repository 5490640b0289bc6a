// Worker thread of a JavaScript runner: loads the function into one vm context and runs batches in it, one invocation
// after the other, each finished one appended to the ledger before the next begins.
'use strict';
const { AsyncLocalStorage } = require('node:async_hooks');
const fs = require('node:fs');
const { parentPort, workerData } = require('node:worker_threads');
const { PREFIX, loadHandler } = require('./context.cjs');
const { Delivery } = require('./delivery.cjs');
const { describeError, describeLoadError, statusOf } = require('./failure.cjs');
const { Invocation } = require('./invocation.cjs');
const { parseHeader, sectionsStart } = require('./frames.cjs');
const { CURRENT, NEXT, STEP } = require('./progress.cjs');
const { redactor } = require('./redact.cjs');
const { positionsOf } = require('./sourcemap.cjs');

const RETURNED = 'What onRequest returns is not sent: call Segment.track and the other helpers for each message.';

const { load, ledger, progress } = workerData;
const running = new AsyncLocalStorage();
const settings = JSON.stringify(load.settings ?? {});
const redact = redactor(load.secrets ?? []);
const original = positionsOf(load.file, load.text);
const cleanLogs = (text) => redact(original(text));
const begin = () => Atomics.add(progress, STEP, 1);
// Microseconds this thread had on the processor. Node.js 20 cannot tell; where it can, it takes half a microsecond.
const cpuTime = process.threadCpuUsage && (() => {
  const { user, system } = process.threadCpuUsage();
  return user + system;
});

function start() {
  begin();
  const started = performance.now();
  try {
    const handle = loadHandler(load, running);
    parentPort.on('message', ({ bytes, next }) => {
      if (next === undefined) return; // for fetch.cjs
      runBatch(handle, Buffer.from(bytes.buffer), next).then(() => parentPort.postMessage({ done: true }));
    });
    parentPort.postMessage({ loaded: performance.now() - started });
  } catch (error) {
    parentPort.postMessage({ failed: describeLoadError(error, load, PREFIX, redact, original) });
  }
}

async function runBatch(handle, bytes, next) {
  const { lens } = parseHeader(bytes);
  const places = sectionPlaces(lens, sectionsStart(bytes));
  let room = load.limits.batch_output_bytes;
  const deadline = performance.now() + load.limits.batch_ms;
  let cpuBefore = cpuTime?.();
  fs.writeSync(ledger, '{"m":"+"}\n');
  for (let index = next; index < places.length && room > 0 && performance.now() < deadline; index += 1) {
    Atomics.store(progress, CURRENT, index);
    begin();
    const outcome = await runOne(handle, new Delivery(bytes, places[index]));
    const cpuNow = cpuTime?.();
    const cpu = cpuTime ? `"cpu":${(cpuNow - cpuBefore) / 1000},` : '';
    cpuBefore = cpuNow;
    const line = `{"i":${index},${cpu}${outcome}}\n`;
    fs.writeSync(ledger, line);
    Atomics.store(progress, NEXT, index + 1);
    room -= line.length;
  }
}

function sectionPlaces(lens, start) {
  const places = [];
  let at = start;
  for (let i = 0; i < lens.length; i += 2) {
    places.push({ meta: at, body: at + lens[i], end: at + lens[i] + lens[i + 1] });
    at = places[places.length - 1].end;
  }
  return places;
}

// All of a result line but the index and the time on the processor.
async function runOne(handle, delivery) {
  const invocation = new Invocation(load.limits, cleanLogs);
  let outcome;
  try {
    const returned = await running.run(invocation, () => handle(delivery, settings));
    if (looksLikeMessages(returned)) invocation.logs.add('warn', RETURNED);
    outcome = invocation.output();
  } catch (error) {
    const { status, error: described } = invocation.excess
      ?? { status: statusOf(error), error: describeError(error, load.file, redact, original) };
    outcome = `"s":"${status}","e":${JSON.stringify(described)}`;
  }
  invocation.close();
  const logs = invocation.logs.lines.length ? `,"l":${JSON.stringify(invocation.logs.lines)}` : '';
  return `"ms":${invocation.elapsed().toFixed(3)},${outcome}${logs}`;
}

function looksLikeMessages(returned) {
  return typeof returned === 'object' && returned !== null && ('events' in returned || 'objects' in returned);
}

// What user code left behind, a rejected promise or a throwing timer, does not end the thread; it is told where it can
// be seen: in the log of the invocation it belongs to while that one runs.
function onLateError(error) {
  const asItRuns = (frame) => frame; // the log has its positions changed like any other text
  running.getStore()?.logs.add('error', `Uncaught ${describeError(error, load.file, redact, asItRuns).stack}`);
}
process.on('uncaughtException', onLateError);
process.on('unhandledRejection', onLateError);

start();
