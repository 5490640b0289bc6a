// A worker thread as the supervisor sees it: ready for a function, then with one.
'use strict';
const path = require('node:path');
const { Worker } = require('node:worker_threads');
const { CURRENT, LATE, NEXT, STEP, PROGRESS_BYTES } = require('./progress.cjs');

class Thread {
  // `listener` has onMessage(thread, message) and onExit(thread, code).
  constructor(ledger, heapMb, listener) {
    this.cells = new Int32Array(new SharedArrayBuffer(PROGRESS_BYTES));
    this.cells[CURRENT] = -1;
    this.failure = null; // its 'error' event, which comes before its 'exit'
    this.worker = new Worker(path.join(__dirname, 'boot.cjs'), {
      workerData: { ledger, progress: this.cells },
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
      env: {},
      execArgv: [],
      stdout: true,
      stderr: true,
    });
    this.worker.stdout.resume();
    this.worker.stderr.resume();
    this.worker.on('message', (message) => listener.onMessage(this, message));
    this.worker.on('error', (error) => { this.failure = error; });
    this.worker.on('exit', (code) => listener.onExit(this, code));
  }

  get step() {
    return Atomics.load(this.cells, STEP);
  }

  get current() {
    return Atomics.load(this.cells, CURRENT);
  }

  get next() {
    return Atomics.load(this.cells, NEXT);
  }

  get failedLate() {
    return Atomics.load(this.cells, LATE) === 1;
  }

  get ranOutOfMemory() {
    return this.failure?.code === 'ERR_WORKER_OUT_OF_MEMORY';
  }

  load(header) {
    this.worker.postMessage(header);
  }

  run(bytes, next) {
    this.cells[NEXT] = next;
    this.cells[CURRENT] = -1;
    this.worker.postMessage({ bytes, next });
  }

  answer(call, header, content) {
    this.worker.postMessage({ answer: call, header, content });
  }

  stop() {
    this.worker.terminate();
  }
}

module.exports = { Thread };
