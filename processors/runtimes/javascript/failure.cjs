// Errors of user code as the pool gets them: {class, message, line, stack}, and the status they mean.
'use strict';
const { cutToBytes } = require('./logbook.cjs');

const MESSAGE_BYTES = 1024;
const STACK_BYTES = 4096;
// Told by name: they may come from another realm than the code that reads them.
const STATUS = new Map([
  ['ValidationError', 'rejected'],
  ['EventNotSupported', 'rejected'],
  ['InvalidEventPayload', 'rejected'],
  ['DropEvent', 'dropped'],
]);

function statusOf(error) {
  return STATUS.get(textOf(() => error.name)) ?? 'error';
}

// Anything can be thrown, and its properties can throw in turn. `original` turns a frame's position in what runs into
// that in what was written; `line` is that of the innermost frame in the function's own file.
function describeError(error, file, original) {
  const isObject = (typeof error === 'object' && error !== null) || typeof error === 'function';
  const kind = (isObject && textOf(() => error.name)) || 'Error';
  const message = isObject ? textOf(() => error.message) : textOf(() => String(error));
  const raw = isObject ? textOf(() => error.stack) : '';
  const place = `${file}:`;
  const frames = raw.split('\n').filter((line) => line.startsWith('    at ') && line.includes(place)).map(original);
  return {
    class: cutToBytes(kind, MESSAGE_BYTES),
    message: cutToBytes(message, MESSAGE_BYTES),
    line: lineIn(raw.startsWith(place) ? raw : frames.find((frame) => frame.includes(place)) ?? '', place),
    stack: cutToBytes([message ? `${kind}: ${message}` : kind, ...frames].join('\n'), STACK_BYTES),
  };
}

// The number after the file's name: of a frame, or of the first line of a syntax error's stack.
function lineIn(text, place) {
  const at = text.indexOf(place);
  const line = at < 0 ? NaN : Number.parseInt(text.slice(at + place.length), 10);
  return line > 0 ? line : null;
}

function textOf(read) {
  try {
    const value = read();
    return typeof value === 'string' ? value : '';
  } catch {
    return '';
  }
}

module.exports = { describeError, statusOf };
