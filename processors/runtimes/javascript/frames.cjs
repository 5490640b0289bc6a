// Frames as processors/runtimes/frames.py has them: u32le length, u8 type, JSON header line, sections.
'use strict';

const Frame = { HELLO: 1, LOAD: 2, LOADED: 3, LOADFAIL: 4, RUN: 5, RES: 6, STOP: 7, FETCH: 8, FETCHED: 9 };
const PREFIX_BYTES = 4;
const NEWLINE = 10;

// Bytes of one frame to send; of a runner's only FETCH has a section.
function frame(type, header, section = Buffer.alloc(0)) {
  const line = Buffer.from(`${JSON.stringify(header)}\n`);
  const prefix = Buffer.alloc(PREFIX_BYTES + 1);
  prefix.writeUInt32LE(1 + line.length + section.length);
  prefix[PREFIX_BYTES] = type;
  return Buffer.concat([prefix, line, section]);
}

function parseHeader(bytes) {
  return JSON.parse(bytes.toString('utf8', 1, bytes.indexOf(NEWLINE)));
}

// Where the sections of a frame begin.
const sectionsStart = (bytes) => bytes.indexOf(NEWLINE) + 1;

// Puts chunks together to frames, each in shared memory: a worker thread and its replacement read it without a copy.
class FrameReader {
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.prefix = Buffer.alloc(PREFIX_BYTES);
    this.body = null;
    this.filled = 0;
  }

  feed(chunk) {
    let at = 0;
    while (at < chunk.length) {
      const target = this.body ?? this.prefix;
      const copied = chunk.copy(target, this.filled, at);
      at += copied;
      this.filled += copied;
      if (this.filled < target.length) return;
      this.filled = 0;
      if (this.body) {
        const bytes = this.body;
        this.body = null;
        this.onFrame(bytes[0], parseHeader(bytes), bytes);
      } else {
        this.body = Buffer.from(new SharedArrayBuffer(this.prefix.readUInt32LE()));
      }
    }
  }
}

module.exports = { Frame, FrameReader, frame, parseHeader, sectionsStart };
