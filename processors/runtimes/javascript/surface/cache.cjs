// `cache`: values that stay between the invocations of one process (SEGMENT-SPEC S40, S41). Not shared with other
// processes, and gone with this one: a value may vanish at any time.
(function cache(host) {
  'use strict';
  // Ours: beyond it the value that was asked for least recently goes. Their size counts to the memory limit.
  const MAX_KEYS = 1000;
  const entries = new Map(); // { value, end } by key, in the order of their last use

  return {
    // The value kept under `key`, at most `ttl` milliseconds old; else what `fn`, async or not, returns now. -1, or no
    // `ttl` at all: however old. What `fn` throws is thrown, and nothing is kept.
    async load(key, ttl, fn = ttl) {
      let entry = entries.get(key);
      entries.delete(key);
      if (!entry || entry.end <= host.now()) {
        const value = await fn();
        entry = { value, end: ttl >= 0 ? host.now() + ttl : Infinity };
        entries.delete(key); // by another load, meanwhile
        if (entries.size >= MAX_KEYS) entries.delete(entries.keys().next().value);
      }
      entries.set(key, entry);
      return entry.value;
    },
    delete(key) {
      entries.delete(key);
    },
  };
})
