// Secrets, taken out of what people get to read.
'use strict';

// Shorter values are left: they would be found all over texts that have nothing to do with them.
const MIN_CHARACTERS = 6;
const INSTEAD = '[redacted]';

// A function from a text to the text without secrets: as they are, as JSON has them, and each line of those with
// several, for output is cut at line ends.
function redactor(secrets) {
  const forms = secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), ...secret.split(/\r?\n/)]);
  const values = [...new Set(forms)].filter((value) => value.length >= MIN_CHARACTERS);
  if (values.length === 0) return (text) => text;
  // The longest first, so that one which begins like another does not leave its end behind.
  values.sort((one, other) => other.length - one.length);
  const pattern = new RegExp(values.map((value) => value.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'g');
  return (text) => text.replace(pattern, INSTEAD);
}

module.exports = { redactor };
