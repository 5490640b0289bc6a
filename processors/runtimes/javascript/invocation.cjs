// What one invocation gathers: its messages, its log lines, its timers. Closed when the handler settles.
'use strict';
const { LogBook } = require('./logbook.cjs');

const stringify = JSON.stringify; // before user code can replace it
const BYTES_PER_CHAR = 3; // of UTF-8, at most, per UTF-16 unit

class Invocation {
  constructor(limits) {
    this.limits = limits;
    this.started = performance.now();
    this.logs = new LogBook(limits, this.started);
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
    if (this.events.length + this.objects.length >= this.limits.messages) {
      this.#refuse(`The function sent more than ${this.limits.messages} messages.`);
    }
  }

  keepTimer(handle) {
    (this.timers ??= []).push(handle);
    return handle;
  }

  // The tail of a result line. Messages are written as they are now: changes after the call count.
  output() {
    if (this.excess) throw this.excess;
    let room = this.limits.output_bytes;
    const write = (message, limit, what) => {
      const text = stringify(message);
      if (text?.[0] !== '{') throw new TypeError(`${what} is not an object when written as JSON.`);
      const bytes = text.length * BYTES_PER_CHAR <= limit ? text.length : Buffer.byteLength(text);
      room -= bytes;
      if (bytes > limit) this.#refuse(`${what} of ${bytes} bytes exceeds the limit of ${limit} bytes.`);
      if (room < 0) this.#refuse(`The messages exceed the limit of ${this.limits.output_bytes} bytes.`);
      return text;
    };
    const events = this.events.map((event) => write(event, this.limits.event_bytes, `A message of type ${event.type}`));
    const objects = this.objects.map((object) => write(object, this.limits.output_bytes, 'An object'));
    return `"s":"ok","ev":[${events}],"ob":[${objects}]`;
  }

  // From here on helpers throw, and what would still wake up does not.
  close() {
    this.isClosed = true;
    for (const handle of this.timers ?? []) clearTimeout(handle);
  }

  #refuse(message) {
    this.excess = { status: 'too_large', error: { class: 'TooLarge', message } };
    throw this.excess;
  }
}

module.exports = { Invocation };
