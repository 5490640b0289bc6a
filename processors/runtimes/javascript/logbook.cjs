// Log lines of one invocation as [level, text, milliseconds], capped in number and bytes.
'use strict';

const BYTES_PER_CHAR = 3; // of UTF-8, at most, per UTF-16 unit

class LogBook {
  constructor(limits, started) {
    this.limits = limits;
    this.started = started;
    this.lines = [];
    this.room = limits.log_bytes;
    this.isFull = false;
  }

  add(level, text) {
    if (this.isFull) return;
    const at = Math.round(performance.now() - this.started);
    const cut = cutToBytes(text, Math.min(this.limits.log_line_bytes, this.room));
    if (this.lines.length >= this.limits.log_lines || this.room <= 0) {
      this.isFull = true;
      this.lines.push(['warn', 'truncated: the log of this invocation is full', at]);
      return;
    }
    this.room -= Buffer.byteLength(cut);
    this.lines.push([level, cut, at]);
  }
}

function cutToBytes(text, limit) {
  if (text.length * BYTES_PER_CHAR <= limit || Buffer.byteLength(text) <= limit) return text;
  // A character cut in half becomes U+FFFD; take it off.
  return Buffer.from(text).subarray(0, limit).toString().replace(/\uFFFD$/, '');
}

module.exports = { LogBook, cutToBytes };
