"""`cache`: values that stay in one process (S40, S41), and variables at the top level (R15)."""

from tests.processors.runtimes.conformance.case import Case, handler, throws, value

_LOADING = [
    value("S40", "the first load calls the function", "await cache.load('a', 1000, async () => 1)",
          "await segment.cache.load('a', 1000, lambda: 1)", is_=1),
    value("S40", "the second does not",
          "[await cache.load('a', 60000, async () => 1), await cache.load('a', 60000, async () => 2)]",
          "[await segment.cache.load('a', 60_000, lambda: 1), await segment.cache.load('a', 60_000, lambda: 2)]",
          is_=[1, 1]),
    value("S40", "the function need not be async", "await cache.load('a', 1000, () => 1)", is_=1),
    value("S40", "load returns a promise", "cache.load('a', 1000, () => 1) instanceof Promise", is_=True),
    value("S40", "keys are apart", "[await cache.load('a', 1000, () => 1), await cache.load('b', 1000, () => 2)]",
          "[await segment.cache.load('a', 1000, lambda: 1), await segment.cache.load('b', 1000, lambda: 2)]",
          is_=[1, 2]),
    value("S40", "a value of no age is loaded every time",
          "[await cache.load('a', 0, () => 1), await cache.load('a', 0, () => 2)]",
          "[await segment.cache.load('a', 0, lambda: 1), await segment.cache.load('a', 0, lambda: 2)]", is_=[1, 2]),
    value("S40", "-1 is no limit of age", "[await cache.load('a', -1, () => 1), await cache.load('a', -1, () => 2)]",
          "[await segment.cache.load('a', -1, lambda: 1), await segment.cache.load('a', -1, lambda: 2)]", is_=[1, 1]),
    value("S40", "an age that is left out is no limit",
          "[await cache.load('a', undefined, () => 1), await cache.load('a', () => 2)]",
          "[await segment.cache.load('a', None, lambda: 1), await segment.cache.load('a', None, lambda: 2)]",
          is_=[1, 1]),
    value("S40", "a value that is too old is loaded anew",
          "[await cache.load('a', 1, () => 1), await new Promise((done) => setTimeout(done, 5)), "
          "await cache.load('a', 1, () => 2)]",
          "[await segment.cache.load('a', 1, lambda: 1), await __import__('asyncio').sleep(0.005), "
          "await segment.cache.load('a', 1, lambda: 2)]", is_=[1, None, 2]),
    value("S40", "values are kept as they are",
          "await cache.load('a', 9e9, () => ({a: [1]})) === await cache.load('a')",
          "await segment.cache.load('a', 9e9, lambda: [1]) is await segment.cache.load('a', None, list)",
          is_=True),
    value("S40", "false and null are values",
          "[await cache.load('a', -1, () => null), await cache.load('a', -1, () => 1)]",
          "[await segment.cache.load('a', -1, lambda: None), await segment.cache.load('a', -1, lambda: 1)]",
          is_=[None, None]),
    throws("S40", "what the function throws is thrown",
           "await cache.load('a', 1000, () => { throw new RetryError('why') })",
           """
           def fail(): raise RetryError('why')
           await segment.cache.load('a', 1000, fail)
           """, error=("RetryError", "why")),
    value("S40", "nothing is kept of what threw",
          "[await cache.load('a', -1, async () => { throw 1 }).catch(() => 0), await cache.load('a', -1, () => 2)]",
          is_=[0, 2]),
]  # fmt: skip

_DELETING = [
    value("S40", "delete removes at once",
          "[await cache.load('a', -1, () => 1), cache.delete('a'), await cache.load('a', -1, () => 2)]",
          "[await segment.cache.load('a', -1, lambda: 1), segment.cache.delete('a'), "
          "await segment.cache.load('a', -1, lambda: 2)]", is_=[1, None, 2]),
    handler("S40", "delete of what is not there does nothing", "cache.delete('a')", "segment.cache.delete('a')"),
    value("S41", "beyond 1,000 keys the one used least recently goes",
          "await (async () => { for (let n = 0; n < 1000; n++) await cache.load(n, -1, () => 'old');"
          " await cache.load(0); await cache.load('one more', -1, () => 'old');"
          " return [await cache.load(0, -1, () => 'new'), await cache.load(1, -1, () => 'new')] })()",
          is_=["old", "new"]),
]  # fmt: skip

CASES: list[Case] = [*_LOADING, *_DELETING]
