// The vm context of a function: its globals, the user's code evaluated once, and the way into its handler.
// A vm context hides Node.js; it is no sandbox. What confines user code is the process.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { types } = require('node:util');
const vm = require('node:vm');
const { Delivery } = require('./delivery.cjs');
const { globalsOf } = require('./globals.cjs');
const { headersClass } = require('./headers.cjs');

const EXPORT = '__hookmillExport';
// On the first line of the user's code, so that line numbers stay; the column offset takes its length off again.
// Being a statement it also keeps a leading "use strict" from being a directive, as in Segment's runtime.
const PREFIX = `${EXPORT}(() => onRequest);`;

// What is made anew in every context, so that it is an instance of that context's classes.
const SURFACE = Object.fromEntries(['errors', 'request', 'segment', 'cache', 'legacy', 'entry'].map((name) => {
  const filename = path.join(__dirname, 'surface', `${name}.cjs`);
  return [name, new vm.Script(fs.readFileSync(filename, 'utf8'), { filename })];
}));

// A function from a delivery and the settings as JSON to what the handler returns. `running` holds the invocation that
// code belongs to. Errors: whatever the code throws at its top level, SyntaxError, and NoHandler.
function loadHandler(load, running) {
  const realm = new Realm(running, load.site ?? null);
  try {
    realm.evaluate(load);
  } catch (error) {
    const legacy = realm.handler === undefined && isReferenceError(error) && loadLegacyHandler(load, running);
    if (legacy) return legacy;
    throw error;
  }
  if (typeof realm.handler !== 'function') throw noHandler(load.file, realm.handler);
  return realm.wayInto(realm.handler);
}

// Of code that ended with a ReferenceError because there are no `exports`; null if that was not why.
function loadLegacyHandler(load, running) {
  const realm = new Realm(running, load.site ?? null);
  realm.context.exports = {};
  try {
    realm.evaluate(load);
  } catch {
    return null;
  }
  const { processEvents } = realm.context.exports;
  return typeof processEvents === 'function' ? realm.wayInto(realm.make('legacy')(processEvents)) : null;
}

class Realm {
  #host;
  #window;
  #readHandler;

  constructor(running, site) {
    const globals = globalsOf(running, site);
    this.context = vm.createContext(globals);
    this.#host = {
      invocation: () => running.getStore(),
      now: () => performance.now(),
      Delivery,
      URL,
      get Headers() { return headersClass(); },
    };
    const errors = this.make('errors');
    this.ServerRequest = this.make('request');
    Object.assign(globals, {
      ...errors, ServerRequest: this.ServerRequest, Segment: this.make('segment', errors), cache: this.make('cache'),
    });
    this.#window = Object.defineProperties(
      vm.runInContext('({})', this.context), Object.getOwnPropertyDescriptors(globals),
    );
    globals.window = this.#window;
  }

  make(name, ...rest) {
    return SURFACE[name].runInContext(this.context)(this.#host, ...rest);
  }

  // The code is the body of a function, in sloppy mode. What onRequest is can be asked afterwards, however it ended.
  evaluate(load) {
    const body = vm.compileFunction(PREFIX + load.text.replace(/^\uFEFF/, ''), [EXPORT], {
      filename: load.file,
      columnOffset: -PREFIX.length,
      parsingContext: this.context,
    });
    body.call(this.#window, (read) => { this.#readHandler = read; });
  }

  // Undefined if never declared, or declared below a top-level return.
  get handler() {
    try {
      return this.#readHandler?.();
    } catch {
      return undefined;
    }
  }

  wayInto(handler) {
    return this.make('entry', this.ServerRequest)(handler);
  }
}

function noHandler(file, found) {
  const error = new Error(found === undefined
    ? `${file} defines no onRequest.`
    : `onRequest of ${file} is not a function but of type ${typeof found}.`);
  error.name = 'NoHandler';
  return error;
}

const isReferenceError = (error) => types.isNativeError(error) && error.name === 'ReferenceError';

module.exports = { PREFIX, loadHandler };
