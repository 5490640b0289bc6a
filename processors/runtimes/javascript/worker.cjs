// Worker thread of a JavaScript runner: loads the function into one vm context and runs batches in it, one invocation
// after the other, each finished one appended to the ledger before the next begins.
'use strict';
const { AsyncLocalStorage } = require('node:async_hooks');
const fs = require('node:fs');
const { parentPort, workerData } = require('node:worker_threads');
const { createContext } = require('./context.cjs');
const { describeError, statusOf } = require('./failure.cjs');
const { Invocation } = require('./invocation.cjs');
const { parseHeader, sectionsStart } = require('./frames.cjs');
const { CURRENT, NEXT, STEP } = require('./progress.cjs');
const { positionsOf } = require('./sourcemap.cjs');

const { load, ledger, progress } = workerData;
const running = new AsyncLocalStorage();
const settingsText = JSON.stringify(load.settings);
const original = positionsOf(load.file, load.text);
const describe = (error) => describeError(error, load.file, original);
const begin = () => Atomics.add(progress, STEP, 1);

function start() {
  begin();
  const started = performance.now();
  try {
    const surface = createContext(load.file, load.text, running);
    parentPort.on('message', ({ bytes, next }) => {
      runBatch(surface, Buffer.from(bytes.buffer), next).then(() => parentPort.postMessage({ done: true }));
    });
    parentPort.postMessage({ loaded: performance.now() - started });
  } catch (error) {
    const failed = describe(error);
    // An end that comes too early is found on the line after the last.
    if (failed.line) failed.line = Math.min(failed.line, load.text.trimEnd().split('\n').length);
    parentPort.postMessage({ failed });
  }
}

async function runBatch(surface, bytes, next) {
  const { lens } = parseHeader(bytes);
  const places = sectionPlaces(lens, sectionsStart(bytes));
  let room = load.limits.batch_output_bytes;
  const deadline = performance.now() + load.limits.batch_ms;
  fs.writeSync(ledger, '{"m":"+"}\n');
  for (let index = next; index < places.length && room > 0 && performance.now() < deadline; index += 1) {
    Atomics.store(progress, CURRENT, index);
    begin();
    const line = await runOne(surface, index, bytes, places[index]);
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

async function runOne(surface, index, bytes, place) {
  const invocation = new Invocation(load.limits);
  let outcome;
  try {
    await running.run(invocation, () => surface.invoke(
      () => bytes.toString('utf8', place.body, place.end),
      () => JSON.parse(bytes.toString('utf8', place.meta, place.body)),
      settingsText,
    ));
    outcome = invocation.output();
  } catch (error) {
    const described = invocation.excess ?? { status: statusOf(error), error: describe(error) };
    outcome = `"s":"${described.status}","e":${JSON.stringify(described.error)}`;
  }
  invocation.close();
  const logs = invocation.logs.lines.length ? `,"l":${JSON.stringify(invocation.logs.lines)}` : '';
  return `{"i":${index},"ms":${invocation.elapsed().toFixed(3)},${outcome}${logs}}\n`;
}

// What user code left behind, a rejected promise or a throwing timer, does not end the thread; it is told where it can
// be seen: in the log of the invocation it belongs to while that one runs.
function onLateError(error) {
  running.getStore()?.logs.add('error', `Uncaught ${describe(error).stack}`);
}
process.on('uncaughtException', onLateError);
process.on('unhandledRejection', onLateError);

start();
