// `Headers` as user code has them. Loading those of Node.js takes 20 ms, so it waits until they are asked for.
'use strict';

let made;

function headersClass() {
  // With `raw()`, which node-fetch has: a list of values by name; only cookies are still apart.
  made ??= class extends Headers {
    static name = 'Headers';

    raw() {
      const values = (name) => (name === 'set-cookie' ? this.getSetCookie() : [this.get(name)]);
      return Object.fromEntries([...this.keys()].map((name) => [name, values(name)]));
    }
  };
  return made;
}

// Values beyond Latin-1 are bytes of UTF-8 on the wire, which is how Headers knows them.
function headersOf(pairs) {
  const headers = new (headersClass())();
  for (const [name, value] of pairs) {
    // eslint-disable-next-line no-control-regex
    headers.append(name, /[^\0-\xFF]/.test(value) ? Buffer.from(value).toString('latin1') : value);
  }
  return headers;
}

module.exports = { headersClass, headersOf };
