// `console` of user code: what it says goes into the log of the invocation that says it.
'use strict';
const { Console } = require('node:console');
const { format } = require('node:util');
const { withoutOurFrames } = require('./failure.cjs');

const LEVELS = {
  log: 'info', info: 'info', warn: 'warn', error: 'error', debug: 'debug', trace: 'debug',
};

function consoleOf(running) {
  const add = (level, text) => running.getStore()?.logs.add(level, withoutOurFrames(text));
  const levels = Object.entries(LEVELS).map(([name, level]) => [name, (...args) => add(level, format(...args))]);
  // table, dir, count, time and the like are those of Node.js, at level info.
  const stdout = { write: (text) => add('info', text.trimEnd()) };
  return Object.assign(new Console({ stdout, ignoreErrors: false, colorMode: false }), Object.fromEntries(levels));
}

module.exports = { consoleOf };
