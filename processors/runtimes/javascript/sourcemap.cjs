// Positions in a bundle as positions in the files it was made of, by the source map at its end.
'use strict';
const { SourceMap } = require('node:module');

const MARK = '\n//# sourceMappingURL=data:application/json;base64,';

// Returns a function that puts the written file, line and column in place of every `file:line:column` in a stack.
// Code without a map is as it is written, and so is what a map that nobody can read belongs to.
function positionsOf(file, text) {
  const map = mapOf(text);
  if (map === null) return (stack) => stack;
  const position = new RegExp(`${file.replace(/[^\w]/g, '\\$&')}:(\\d+):(\\d+)`, 'g');
  return (stack) => stack.replace(position, (whole, line, column) => {
    const { originalSource, originalLine, originalColumn } = map.findEntry(line - 1, column - 1);
    return originalSource === undefined ? whole : `${originalSource}:${originalLine + 1}:${originalColumn + 1}`;
  });
}

function mapOf(text) {
  const at = text.lastIndexOf(MARK);
  if (at < 0) return null;
  try {
    return new SourceMap(JSON.parse(Buffer.from(text.slice(at + MARK.length), 'base64').toString()));
  } catch {
    return null;
  }
}

module.exports = { positionsOf };
