// Log lines of one invocation as [level, text, milliseconds], capped in number and bytes.
'use strict';

const BYTES_PER_CHAR = 3; // of UTF-8, at most, per UTF-16 unit

class LogBook {
  constructor(limits, redact, started) {
    this.limits = limits;
    this.redact = redact;
    this.started = started;
    this.lines = [];
    this.room = limits.log_bytes;
    this.isFull = false;
  }

  add(level, text) {
    if (this.isFull) return;
    const at = Math.round(performance.now() - this.started);
    const cut = cutToBytes(this.redact(text), Math.min(this.limits.log_line_bytes, this.room));
    if (this.lines.length >= this.limits.log_lines || this.room <= 0) {
      this.isFull = true;
      this.lines.push(['warn', 'truncated: the log of this invocation is full', at]);
      return;
    }
    this.room -= Buffer.byteLength(cut);
    this.lines.push([level, cut, at]);
  }
}

// Half a surrogate pair, which is no character, becomes U+FFFD: readers of the ledger take no others.
function cutToBytes(text, limit) {
  const whole = text.toWellFormed();
  if (whole.length * BYTES_PER_CHAR <= limit || Buffer.byteLength(whole) <= limit) return whole;
  // A character cut in half becomes U+FFFD too; take it off.
  return Buffer.from(whole).subarray(0, limit).toString().replace(/\uFFFD$/, '');
}

module.exports = { LogBook, cutToBytes };
