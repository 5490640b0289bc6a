// `fetch` of user code.
'use strict';

const OFF = 'The network is off for this source. Name the hosts that its function may reach in source.toml: '
  + '[network] allow = ["api.example.com"].';

// `network` is the fetch of a source that may reach hosts; without it every request is refused.
const fetchOf = (network) => network ?? (async () => { throw new Error(OFF); });

module.exports = { fetchOf };
