// What one invocation gathers: its messages, its log lines, its timers. Closed when the handler settles.
'use strict';
const { flawOf } = require('./flaw.cjs');
const { LogBook } = require('./logbook.cjs');

const stringify = JSON.stringify; // before user code can replace it
const BYTES_PER_CHAR = 3; // of UTF-8, at most, per UTF-16 unit

class Invocation {
  constructor(limits, redact) {
    this.limits = limits;
    this.started = performance.now();
    this.logs = new LogBook(limits, redact, this.started);
    this.events = [];
    this.objects = [];
    this.timers = null;
    this.isClosed = false;
    this.excess = null; // why the output is too large, once it is
  }

  elapsed() {
    return performance.now() - this.started;
  }

  // Room for one more message, or an error; a function that catches it is refused all the same.
  reserve() {
    this.#checkCount(1);
  }

  keepTimer(handle) {
    (this.timers ??= []).push(handle);
    return handle;
  }

  // The tail of a result line. Messages are written as they are now: changes after the call count.
  output() {
    if (this.excess) throw this.excess;
    this.#checkCount(0);
    let room = this.limits.output_bytes;
    const write = (message, helper, limit, what) => {
      const text = this.#json(message, helper);
      if (text?.[0] !== '{') throw new TypeError(`${what} is not an object when written as JSON.`);
      const bytes = text.length * BYTES_PER_CHAR <= limit ? text.length : Buffer.byteLength(text);
      room -= bytes;
      if (bytes > limit) this.#refuse(`${what} of ${bytes} bytes exceeds the limit of ${limit} bytes.`);
      if (room < 0) this.#refuse(`The messages exceed the limit of ${this.limits.output_bytes} bytes.`);
      return text;
    };
    const events = this.events.map((event) => (
      write(event, event?.type, this.limits.event_bytes, `A message of type ${event?.type}`)));
    const objects = this.objects.map((object) => (
      write(object, object?.deleted ? 'delete' : 'set', this.limits.output_bytes, 'An object')));
    return `"s":"ok","ev":[${events}],"ob":[${objects}]`;
  }

  // From here on helpers throw, and what would still wake up does not.
  close() {
    this.isClosed = true;
    for (const handle of this.timers ?? []) clearTimeout(handle);
  }

  #json(message, helper) {
    let text;
    try {
      text = stringify(message);
    } catch (error) {
      const flaw = flawOf(message);
      throw flaw ? new TypeError(`Segment.${helper}: ${flaw}.`) : error;
    }
    return text?.includes('\\ud') ? withWholeCharacters(text) : text;
  }

  #checkCount(more) {
    if (this.events.length + this.objects.length + more > this.limits.messages) {
      this.#refuse(`The function sent more than ${this.limits.messages} messages.`);
    }
  }

  #refuse(message) {
    this.excess = { status: 'too_large', error: { class: 'TooLarge', message } };
    throw this.excess;
  }
}

// JSON in which half a surrogate pair, which is no character, is U+FFFD: readers of the ledger take no others. An escaped
// backslash before a "ud8.." of the user's is passed over.
function withWholeCharacters(json) {
  return json.replace(/\\(?:\\|ud[89a-f][0-9a-f]{2})/g, (escape) => (escape === '\\\\' ? escape : '\uFFFD'));
}

module.exports = { Invocation };
