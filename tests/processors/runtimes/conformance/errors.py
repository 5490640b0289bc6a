"""What a function may throw and what that means (R47 to R50, S20), what then is sent (F17), and limits (S14)."""

from processors.runtimes.contract import Status
from tests.processors.runtimes.conformance.case import Case, handler, throws, track, value

_CLASSES = ("ValidationError", "EventNotSupported", "InvalidEventPayload", "RetryError", "DropEvent")

_SHAPES = [
    value("R47", f"{name} is an error with its name",
          f"((error) => [error.name, error.message, error instanceof Error, String(error)])(new {name}('why'))",
          is_=[name, "why", True, f"{name}: why"])
    for name in _CLASSES
] + [
    value("R47", "the name of an error is no property of each", "Object.keys(new ValidationError('why'))", is_=[]),
    value("R47", "the stack of an error begins with its name", "new RetryError('why').stack.split('\\n')[0]",
          is_="RetryError: why"),
    value("R47", "an error may have no message", "String(new DropEvent())", is_="DropEvent"),
    value("R47", "an error may have a cause", "new RetryError('why', {cause: 'x'}).cause", is_="x"),
]  # fmt: skip

_MEANING = [
    handler(rule, f"{name} means {status}", f"throw new {name}('why')", f"raise {name}('why')", status=status,
            error=(name, "why"))
    for rule, name, status in (
        ("R49", "ValidationError", Status.REJECTED),
        ("R49", "EventNotSupported", Status.REJECTED),
        ("R49", "InvalidEventPayload", Status.REJECTED),
        ("S20", "RetryError", Status.ERROR),
        ("S20", "DropEvent", Status.DROPPED),
    )
] + [
    handler("R49", "an error of a helper is like one of the function's own",
            "try { Segment.track({}) } catch (error) { throw error }",
            "try: segment.track()\nexcept ValidationError as error: raise error", status=Status.REJECTED,
            error=("ValidationError", "event is required but not defined")),
    handler("R49", "a class derived from one means the same",
            "class Unknown extends EventNotSupported {} throw new Unknown('why')", status=Status.REJECTED,
            error=("EventNotSupported", "why")),
    handler("R49", "an error that was caught means nothing",
            "try { throw new ValidationError('why') } catch { Segment.track({event: 'A', userId: '1'}) }",
            """
            try: raise ValidationError('why')
            except ValidationError: segment.track(event='A', user_id='1')
            """, events=[track()]),
    handler("R49", "an error may come late", "await null; throw new EventNotSupported('why')",
            "import asyncio; await asyncio.sleep(0); raise EventNotSupported('why')", status=Status.REJECTED,
            error=("EventNotSupported", "why")),
    handler("R49", "a promise may be rejected with one", "return Promise.reject(new DropEvent('why'))",
            status=Status.DROPPED, error=("DropEvent", "why")),
    handler("S20", "Python has the classes in its module too", "", "import segment as s; raise s.RetryError('why')",
            status=Status.ERROR, error=("RetryError", "why")),
]  # fmt: skip

_OTHERS = [
    throws("F39", "any other error may be retried", "throw new RangeError('why')", error=("RangeError", "why")),
    throws("F39", "any other error may be retried in Python", "", "raise LookupError('why')",
           error=("LookupError", "why")),
    throws("F39", "an error of the engine", "null.a",
           error=("TypeError", "Cannot read properties of null (reading 'a')")),
    throws("F39", "a class of the user's own",
           "class Mine extends Error { constructor(m) { super(m); this.name = 'Mine' } } throw new Mine('why')",
           "class Mine(Exception): pass\nraise Mine('why')", error=("Mine", "why")),
    throws("F39", "endless recursion", "(function again() { again() })()",
           error=("RangeError", "Maximum call stack size exceeded")),
    throws("F39", "a text that is thrown", "throw 'why'", error=("Error", "why")),
    throws("F39", "undefined that is thrown", "throw undefined", error=("Error", "undefined")),
    throws("F39", "a symbol that is thrown", "throw Symbol('why')", error=("Error", "Symbol(why)")),
    throws("F39", "an object that is thrown", "throw {code: 5}", error=("Error", "{ code: 5 }")),
    throws("F39", "an object with name and message that is thrown", "throw {name: 'Mine', message: 'why'}",
           error=("Mine", "why")),
    throws("F39", "an error whose parts throw in turn",
           "throw {get name() { throw 1 }, get message() { throw 2 }, get stack() { throw 3 }}", error=("Error", "{…")),
    throws("F39", "a proxy that is thrown", "throw new Proxy({}, {get() { throw 1 }})", error=("Error", "{}")),
    throws("F39", "a long message is cut", "throw new Error('x'.repeat(5000))",
           "class Error(Exception): pass\nraise Error('x' * 5000)", error=("Error", "x" * 1024)),
    throws("F39", "a message is cut at a character, of two bytes each", "throw new Error('\\u00e9'.repeat(5000))",
           "class Error(Exception): pass\nraise Error('\\u00e9' * 5000)",
           error=("Error", "\u00e9" * 512)),
    throws("F39", "half a character in a message is replaced", "throw new Error('a\\ud83d')",
           "class Error(Exception): pass\nraise Error('a\\ud83d')",
           error=("Error", "a\ufffd")),
]  # fmt: skip

_ALL_OR_NOTHING = [
    throws("F17", "nothing is sent of what was queued before an error",
           "Segment.identify({userId: '1'}); Segment.set({collection: 'c', id: 1}); throw new RetryError('no')",
           "segment.identify(user_id='1'); segment.set(collection='c', id=1); raise RetryError('no')",
           error=("RetryError", "no")),
    handler("F17", "nothing is sent of an invocation that is dropped",
            "Segment.track({event: 'A', userId: '1'}); throw new DropEvent('why')",
            "segment.track(event='A', user_id='1'); raise DropEvent('why')", status=Status.DROPPED,
            error=("DropEvent", "why")),
    handler("F17", "what is queued before an error that is caught is sent",
            "Segment.track({event: 'A', userId: '1'}); try { null.a } catch {}",
            """
            segment.track(event='A', user_id='1')
            try: None.a
            except AttributeError: pass
            """, events=[track()]),
    handler("R12", "what is left running when the handler returns sends nothing",
            "setTimeout(() => Segment.track({event: 'B', userId: '2'}), 0); Segment.track({event: 'A', userId: '1'})",
            events=[track()]),
    handler("R9", "a message sent after waiting counts",
            "await new Promise((done) => setTimeout(done, 2)); Segment.track({event: 'A', userId: '1'})",
            "import asyncio; await asyncio.sleep(0.002); segment.track(event='A', user_id='1')", events=[track()]),
]  # fmt: skip

_LIMITS = [
    handler("S14", "an event of 32 KiB is small enough",
            # {"type":"track","event":"...","userId":"1"} is 40 bytes around the name.
            "Segment.track({event: 'x'.repeat(32728), userId: '1'})", "segment.track(event='x' * 32728, user_id='1')",
            events=[track(event="x" * 32728)]),
    handler("S14", "an event over 32 KiB is too large", "Segment.track({event: 'x'.repeat(32729), userId: '1'})",
            "segment.track(event='x' * 32729, user_id='1')", status=Status.TOO_LARGE,
            error=("TooLarge", "A message of type track of 32769 bytes exceeds the limit of 32768 bytes.")),
    handler("S14", "bytes count, not characters", "Segment.track({event: '\\u00e9'.repeat(16365), userId: '1'})",
            "segment.track(event='\\u00e9' * 16365, user_id='1')", status=Status.TOO_LARGE,
            error=("TooLarge", "A message of type track of 32770 bytes exceeds the limit of 32768 bytes.")),
    handler("F16", "1,000 messages are not too many",
            "for (let n = 0; n < 1000; n++) Segment.identify({userId: n + 1})",
            "for n in range(1000): segment.identify(user_id=n + 1)",
            events=[{"type": "identify", "userId": n + 1} for n in range(1000)]),
    handler("F16", "more than 1,000 messages are too many, even if the function does not mind",
            "for (let n = 0; n < 1001; n++) try { Segment.track({event: 'A', userId: '1'}) } catch {}",
            """
            import contextlib
            for n in range(1001):
                with contextlib.suppress(Exception):
                    segment.track(event='A', user_id='1')
            """, status=Status.TOO_LARGE, error=("TooLarge", "The function sent more than 1000 messages.")),
    handler("F20", "an object may be larger than an event",
            "Segment.set({collection: 'c', id: 1, properties: {a: 'x'.repeat(1e5)}})",
            "segment.set(collection='c', id=1, properties={'a': 'x' * 100_000})",
            objects=[{"collection": "c", "id": 1, "properties": {"a": "x" * 100_000}}]),
    handler("F20", "output over 4 MiB is too large",
            "for (let n = 0; n < 5; n++) Segment.set({collection: 'c', id: n, properties: {a: 'x'.repeat(1e6)}})",
            "for n in range(5): segment.set(collection='c', id=n, properties={'a': 'x' * 1_000_000})",
            status=Status.TOO_LARGE, error=("TooLarge", "The messages exceed the limit of 4194304 bytes.")),
]  # fmt: skip

CASES: list[Case] = [*_SHAPES, *_MEANING, *_OTHERS, *_ALL_OR_NOTHING, *_LIMITS]
