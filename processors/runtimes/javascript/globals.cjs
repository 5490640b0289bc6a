// Globals that are the same objects in every context: those of Node.js, and npm packages. Rules: SEGMENT-SPEC 2.5.
'use strict';
const crypto = require('node:crypto');
const { consoleOf } = require('./console.cjs');
const { fetchOf } = require('./fetch.cjs');
const { headersClass } = require('./headers.cjs');
const { librariesOf } = require('./libraries.cjs');

// `running` holds the invocation that code belongs to, `site` is a folder of installed packages or null.
function globalsOf(running, site) {
  const globals = {
    console: consoleOf(running),
    Buffer,
    URL,
    URLSearchParams,
    crypto,
    fetch: fetchOf(running),
    // Of the npm packages of these names: the built-in ones are stricter.
    atob: (text) => Buffer.from(String(text), 'base64').toString('latin1'),
    btoa: (text) => Buffer.from(String(text), 'latin1').toString('base64'),
    ...timersOf(running),
  };
  const makers = { Headers: headersClass, Request: () => Request, Response: () => Response, ...librariesOf(site) };
  for (const [name, make] of Object.entries(makers)) defineLazily(globals, name, make);
  return globals;
}

function timersOf(running) {
  const keep = (start) => (...args) => {
    const handle = start(...args);
    return running.getStore()?.keepTimer(handle) ?? handle;
  };
  return { setTimeout: keep(setTimeout), setInterval: keep(setInterval), clearTimeout, clearInterval };
}

// Made when first asked for; user code may put something else in its place.
function defineLazily(target, name, make) {
  let read = () => {
    const made = make();
    read = () => made;
    return made;
  };
  Object.defineProperty(target, name, {
    configurable: true,
    enumerable: true,
    get: () => read(),
    set: (given) => { read = () => given; },
  });
}

module.exports = { globalsOf };
