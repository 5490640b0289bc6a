// The vm context of a function: its globals, the user's code evaluated once, and the way into its handler.
// A vm context hides Node.js; it is no sandbox. What confines user code is the process.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const util = require('node:util');
const vm = require('node:vm');

const SURFACE_FILE = path.join(__dirname, 'surface.cjs');
const EXPORT = '__hookmillExport';
// On the first line of the user's code, so that line numbers stay; the column offset takes its length off again.
// Being a statement it also keeps a leading "use strict" from being a directive, as in Segment's runtime.
const PREFIX = `${EXPORT}(() => onRequest);`;

// Errors: whatever the code throws at its top level, SyntaxError, and NoHandler.
function createContext(file, text, running) {
  const context = vm.createContext(hostGlobals(running));
  const surface = vm.runInContext(fs.readFileSync(SURFACE_FILE, 'utf8'), context, { filename: SURFACE_FILE })({
    invocation: () => running.getStore(),
    URL,
    headersOf,
  });
  Object.assign(context, surface.globals);
  const handler = loadHandler(file, text.replace(/^\uFEFF/, ''), context);
  return { invoke: (text, meta, settings) => surface.invoke(handler, text, meta, settings) };
}

function loadHandler(file, text, context) {
  let read;
  const body = vm.compileFunction(PREFIX + text, [EXPORT], {
    filename: file,
    columnOffset: -PREFIX.length,
    parsingContext: context,
  });
  body.call(vm.runInContext('globalThis', context), (getter) => { read = getter; });
  const handler = valueOf(read);
  if (typeof handler === 'function') return handler;
  const error = new Error(handler === undefined
    ? `${file} defines no onRequest.`
    : `onRequest of ${file} is not a function but of type ${typeof handler}.`);
  error.name = 'NoHandler';
  throw error;
}

function valueOf(read) {
  try {
    return read();
  } catch {
    return undefined; // never declared, or declared below a top-level return
  }
}

function hostGlobals(running) {
  const keep = (start) => (...args) => {
    const handle = start(...args);
    return running.getStore()?.keepTimer(handle) ?? handle;
  };
  return {
    console: consoleOf(running),
    Buffer,
    URL,
    URLSearchParams,
    Headers,
    crypto,
    atob: (text) => Buffer.from(String(text), 'base64').toString('latin1'),
    btoa: (text) => Buffer.from(String(text), 'latin1').toString('base64'),
    setTimeout: keep(setTimeout),
    setInterval: keep(setInterval),
    clearTimeout,
    clearInterval,
  };
}

function consoleOf(running) {
  const say = (level) => (...args) => running.getStore()?.logs.add(level, util.format(...args));
  return {
    log: say('info'), info: say('info'), warn: say('warn'), error: say('error'), debug: say('debug'), trace: say('debug'),
  };
}

// Header values beyond Latin-1 are bytes of UTF-8 on the wire, which is how Headers knows them.
function headersOf(pairs) {
  const headers = new Headers();
  for (const [name, value] of pairs) {
    // eslint-disable-next-line no-control-regex
    headers.append(name, /[^\0-\xFF]/.test(value) ? Buffer.from(value).toString('latin1') : value);
  }
  return headers;
}

module.exports = { createContext };
