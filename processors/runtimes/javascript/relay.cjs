// Calls of the function on their way from its thread to the pool and back. Threads come and go; what the pool was asked
// for stays under way until it answers, so the supervisor counts.
'use strict';
const MAX_AT_ONCE = 8; // the pool ends a runner that asks for more
const ENDED = 'The invocation ended before the call was made.';
const NOTHING = new Uint8Array(0);

class Relay {
  #send;
  #waiting = [];
  #underWay = new Map(); // by our number
  #numbers = 0;

  // `send` sends FETCH: its header and its section.
  constructor(send) {
    this.#send = send;
  }

  ask(thread, { call, head, body }) {
    this.#waiting.push({ thread, call, head, body });
    this.#advance();
  }

  settle(header, content) {
    const { thread, call } = this.#underWay.get(header.id);
    this.#underWay.delete(header.id);
    thread.answer(call, header, content);
    this.#advance();
  }

  // The batch or the thread they are for has ended.
  forgetWaiting() {
    for (const { thread, call } of this.#waiting) thread.answer(call, { error: ENDED }, NOTHING);
    this.#waiting = [];
  }

  #advance() {
    while (this.#waiting.length > 0 && this.#underWay.size < MAX_AT_ONCE) {
      const { thread, call, head, body } = this.#waiting.shift();
      this.#numbers += 1;
      this.#underWay.set(this.#numbers, { thread, call });
      this.#send({ id: this.#numbers, ...head }, body);
    }
  }
}

module.exports = { Relay };
