"""Output: `console`, `print` and logging, and what must not be in it (F35, R30)."""

from processors.runtimes.contract import Status
from tests.processors.runtimes.conformance.case import Case, handler

_SECRETS = (
    "s3cr3t-value",
    "s3cr3t-value-longer",
    "short",
    'quo"ted secret',
    "-----BEGIN-----\nabcdefgh\n-----END-----",
)

_LEVELS = [
    handler("F35", f"console.{method} has the level {level}", f"console.{method}('text')", logs=[(level, "text")])
    for method, level in (
        ("log", "info"), ("info", "info"), ("warn", "warn"), ("error", "error"), ("debug", "debug"), ("trace", "debug"),
    )
] + [
    handler("F35", "print has the level info", "", "print('text')", logs=[("info", "text")]),
    handler("F35", "what is printed to stderr has the level error", "", "import sys; print('text', file=sys.stderr)",
            logs=[("error", "text")]),
    handler("F35", "a logger has its level", "", "import logging; logging.getLogger('me').warning('a %s', 'b')",
            logs=[("warn", "a b")]),
]  # fmt: skip

_TEXTS = [
    handler("F35", "lines keep their order", "console.log('1'); await null; console.error('2'); console.log('3')",
            "import sys; print('1'); print('2', file=sys.stderr); print('3')",
            logs=[("info", "1"), ("error", "2"), ("info", "3")]),
    handler("R30", "values are shown as Node.js shows them", "console.log('a', {b: [1, {c: null}]}, undefined, 1n)",
            logs=[("info", "a { b: [ 1, { c: null } ] } undefined 1n")]),
    handler("R30", "formats are those of Node.js", "console.log('%s is %d and %j', 'a', 1.5, {b: 2})",
            logs=[("info", "a is 1.5 and {\"b\":2}")]),
    handler("F35", "characters of any plane survive", "console.log('Gr\\u00fc\\u00dfe \\u{1f389}')",
            "print('Gr\\u00fc\\u00dfe \\U0001f389')", logs=[("info", "Gr\u00fc\u00dfe \U0001f389")]),
    handler("F35", "half a character is replaced", "console.log('a\\ud83d b')", "print('a\\ud83d b')",
            logs=[("info", "a\ufffd b")]),
    handler("R30", "console.table shows a table", "console.table([{a: 1}])",
            logs=[("info", "┌─────────┬───┐\n│ (index) │ a │\n├─────────┼───┤\n│ 0       │ 1 │\n└─────────┴───┘")]),
    handler("R30", "console.dir shows a value", "console.dir({a: 1})", logs=[("info", "{ a: 1 }")]),
    handler("R30", "console.count counts", "console.count('a'); console.count('a')",
            logs=[("info", "a: 1"), ("info", "a: 2")]),
    handler("R30", "console.assert tells what does not hold", "console.assert(true, 'a'); console.assert(false, 'b')",
            logs=[("warn", "Assertion failed: b")]),
    handler("R30", "console may be taken apart", "const {log} = console; log('text')", logs=[("info", "text")]),
    handler("F35", "an invocation that fails keeps its lines", "console.log('text'); throw new RetryError('why')",
            "print('text'); raise RetryError('why')", status=Status.ERROR, error=("RetryError", "why"),
            logs=[("info", "text")]),
    handler("F35", "an error that nobody awaits is told",
            "Promise.reject(new TypeError('forgotten')); await new Promise((done) => setTimeout(done, 5))",
            logs=[("error", "Uncaught TypeError: forgotten\n    at onRequest (function.js:2:16)")]),
    handler("R20", "an error that is shown has frames of the function only", "console.log(new Error('why'))",
            logs=[("info", "Error: why\n    at onRequest (function.js:2:13)")]),
]  # fmt: skip

_CAPS = [
    handler("F35", "a line is cut at 4 KiB", "console.log('x'.repeat(5000))", "print('x' * 5000)",
            logs=[("info", "x" * 4096)]),
    handler("F35", "100 lines are kept", "for (let n = 0; n < 200; n++) console.log('x')",
            "for n in range(200): print('x')",
            logs=[("info", "x")] * 100 + [("warn", "truncated: the log of this invocation is full")]),
    handler("F35", "32 KiB are kept", "for (let n = 0; n < 99; n++) console.log('x'.repeat(4096))",
            "for n in range(99): print('x' * 4096)",
            logs=[("info", "x" * 4096)] * 8 + [("warn", "truncated: the log of this invocation is full")]),
]  # fmt: skip

_REDACTED = [
    handler("F33", "a secret is not in a line", "console.log('key', settings.key, '.')",
            "print('key', settings['key'], '.')",
            settings={"key": "s3cr3t-value"}, secrets=_SECRETS, logs=[("info", "key [redacted] .")]),
    handler("F33", "a secret is not in a line that shows all settings", "console.log(settings)",
            settings={"key": "s3cr3t-value"}, secrets=_SECRETS,
            logs=[("info", "{ key: '[redacted]' }")]),
    handler("F33", "a secret that begins like another is taken out whole",
            "console.log('s3cr3t-value-longer s3cr3t-value')",
            "print('s3cr3t-value-longer s3cr3t-value')", secrets=_SECRETS, logs=[("info", "[redacted] [redacted]")]),
    handler("F33", "values of less than 6 characters are left", "console.log('short')", "print('short')",
            secrets=_SECRETS,
            logs=[("info", "short")]),
    handler("F33", "each line of a secret is one", "console.log('abcdefgh')", "print('abcdefgh')", secrets=_SECRETS,
            logs=[("info", "[redacted]")]),
    handler("F33", "a secret is taken out as JSON has it", "console.log(JSON.stringify(settings))",
            "import json; print(json.dumps(settings, separators=(',', ':')))",
            settings={"key": 'quo"ted secret'}, secrets=_SECRETS, logs=[("info", '{"key":"[redacted]"}')]),
    handler("F33", "a secret at the cut of a long line does not show its beginning",
            "console.log('x'.repeat(4090) + 's3cr3t-value')", "print('x' * 4090 + 's3cr3t-value')", secrets=_SECRETS,
            logs=[("info", "x" * 4090 + "[redac")]),
    handler("F33", "a secret is not in the message of an error", "throw new RetryError(`key '${settings.key}'`)",
            "raise RetryError(f\"key '{settings['key']}'\")", settings={"key": "s3cr3t-value"}, secrets=_SECRETS,
            status=Status.ERROR, error=("RetryError", "key '[redacted]'")),
    handler("F33", "a secret is not in the name of an error", "throw {name: settings.key, message: 'why'}",
            settings={"key": "s3cr3t-value"}, secrets=_SECRETS, status=Status.ERROR, error=("[redacted]", "why")),
    handler("F33", "a secret reaches what is sent, which is for the function to decide",
            "Segment.identify({userId: settings.key})", "segment.identify(user_id=settings['key'])",
            settings={"key": "s3cr3t-value"}, secrets=_SECRETS,
            events=[{"type": "identify", "userId": "s3cr3t-value"}]),
]  # fmt: skip

CASES: list[Case] = [*_LEVELS, *_TEXTS, *_CAPS, *_REDACTED]
