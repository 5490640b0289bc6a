// Errors of user code as the pool gets them, {class, message, line, stack} and for a syntax error {column, source_line},
// and the status they mean.
'use strict';
const { inspect, types } = require('node:util');
const { cutToBytes } = require('./logbook.cjs');

const MESSAGE_BYTES = 1024;
const STACK_BYTES = 4096;
const SOURCE_LINE_BYTES = 256;
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

// Anything can be thrown, and its properties can throw in turn. `file` is that of the code, `redact` takes secrets out,
// `original` puts the position in what was written in place of that in what runs.
function describeError(error, file, redact, original) {
  const isObject = (typeof error === 'object' && error !== null) || typeof error === 'function';
  const kind = (isObject && textOf(() => error.name)) || 'Error';
  const message = messageOf(error, isObject);
  const raw = isObject ? textOf(() => error.stack) : '';
  const place = `${file}:`;
  const frames = raw.split('\n').filter((line) => line.startsWith('    at ') && line.includes(place)).map(original);
  const stack = [message ? `${kind}: ${message}` : kind, ...frames].join('\n');
  return {
    class: cutToBytes(redact(kind), MESSAGE_BYTES),
    message: cutToBytes(redact(message), MESSAGE_BYTES),
    line: lineIn(frames.find((frame) => frame.includes(place)) ?? '', place),
    stack: cutToBytes(redact(stack), STACK_BYTES),
  };
}

// Of code that does not load. `prefix` is what was put before its first line.
function describeLoadError(error, load, prefix, redact, original) {
  const described = describeError(error, load.file, redact, original);
  // The engine puts the place of a syntax error before its stack: file and line, the line itself, a mark below it.
  const [head, , marks = ''] = textOf(() => error.stack).split('\n');
  const found = head.startsWith(`${load.file}:`) ? lineIn(head, `${load.file}:`) : null;
  if (!found) return described;
  const lines = load.text.replace(/^\uFEFF/, '').trimEnd().split(/\r?\n/);
  // An end that comes too early is found on the line after the last.
  const line = Math.min(found, lines.length);
  const column = marks.indexOf('^') + 1 - (found === 1 ? prefix.length : 0);
  return {
    ...described,
    line,
    ...(column > 0 && { column }),
    source_line: cutToBytes(redact(lines[line - 1]), SOURCE_LINE_BYTES),
  };
}

// Without the frames of the runner and of Node.js, which say nothing to the author of a function.
function withoutOurFrames(text) {
  return text.includes('\n    at ') ? text.split('\n').filter((line) => !isOurFrame(line)).join('\n') : text;
}

function isOurFrame(line) {
  return /^\s+at /.test(line) && (line.includes(__dirname) || line.includes('node:'));
}

function messageOf(error, isObject) {
  if (!isObject) return textOf(() => String(error));
  return textOf(() => error.message) || (types.isNativeError(error) ? '' : textOf(() => inspect(error)));
}

// The number after the file's name.
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

module.exports = { describeError, describeLoadError, statusOf, withoutOurFrames };
