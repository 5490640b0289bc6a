// Why a message cannot be written as JSON, and where in it the reason is.
'use strict';

// For people, or null if there is nothing wrong that this knows of.
function flawOf(value, path = '', above = []) {
  if (typeof value === 'bigint') return `${path} is a BigInt, which JSON has no form for`;
  if (typeof value !== 'object' || value === null) return null;
  if (above.includes(value)) return `${path} refers back to what it is in`;
  const written = typeof value.toJSON === 'function' ? { value: value.toJSON() } : value;
  for (const key of Object.keys(written)) {
    const at = written === value ? placeOf(path, key, Array.isArray(value)) : path;
    const flaw = flawOf(written[key], at, [...above, value]);
    if (flaw) return flaw;
  }
  return null;
}

function placeOf(path, key, isIndex) {
  if (isIndex) return `${path}[${key}]`;
  if (!/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path ? `${path}.${key}` : key;
}

module.exports = { flawOf };
