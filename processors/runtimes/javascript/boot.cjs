// First file of a worker thread: everything is read and compiled before it is known which function the thread is for,
// so that a thread kept ready takes a function over within milliseconds.
'use strict';
const { parentPort, workerData } = require('node:worker_threads');
const { LATE } = require('./progress.cjs');

// worker.cjs requires these when the function is there.
require('./context.cjs');
require('./failure.cjs');
require('./invocation.cjs');
require('./frames.cjs');

// What user code left running failed: the thread is not to be used for long any more.
const onLateError = () => Atomics.store(workerData.progress, LATE, 1);
process.on('uncaughtException', onLateError);
process.on('unhandledRejection', onLateError);

parentPort.once('message', (load) => {
  workerData.load = load;
  require('./worker.cjs');
});
