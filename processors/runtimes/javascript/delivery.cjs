// One webhook in the bytes of a RUN frame: [method, url, headers] as JSON, then the body. Nothing is decoded before it
// is asked for.
'use strict';
const { headersOf } = require('./headers.cjs');

class Delivery {
  #bytes;
  #place;
  #call;

  // `place`: where the two sections begin and the second ends.
  constructor(bytes, place) {
    this.#bytes = bytes;
    this.#place = place;
  }

  // The body as UTF-8; what is not becomes U+FFFD.
  text() {
    return this.#bytes.toString('utf8', this.#place.body, this.#place.end);
  }

  // What the body is that `text` was made of, if it is not UTF-8; else null.
  flaw(text) {
    if (!text.includes('\uFFFD')) return null;
    const sent = this.#bytes.subarray(this.#place.body, this.#place.end);
    const offset = Buffer.from(text).findIndex((byte, index) => byte !== sent[index]);
    return offset < 0 ? null : `not UTF-8: it has the byte 0x${sent[offset].toString(16).padStart(2, '0')} at offset ${offset}`;
  }

  headers() {
    return headersOf(this.#read()[2]);
  }

  url() {
    return new URL(this.#read()[1]);
  }

  #read() {
    return (this.#call ??= JSON.parse(this.#bytes.toString('utf8', this.#place.meta, this.#place.body)));
  }
}

module.exports = { Delivery };
