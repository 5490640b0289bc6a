"""How code becomes a handler: forms, mode, realm (R2 to R8, R15 to R23)."""

from processors.runtimes.contract import Status
from tests.processors.runtimes.conformance.case import Case, caught, handler, track, value

_TRACK = "Segment.track({event: 'A', userId: '1'})"
_PYTHON_TRACK = "segment.track(event='A', user_id='1')"

_SETTINGS = [
    value("R2", "settings that are not there are an empty object", "settings", "settings", is_={}),
    value(
        "R2", "settings are passed as they are", "settings", "settings", is_={"a": [1, {"b": None}], "c": "é"},
        settings={"a": [1, {"b": None}], "c": "é"},
    ),
    value(
        "R2", "settings may be taken apart", "(({key, none}) => [key, typeof none])(settings)", is_=["k", "undefined"],
        settings={"key": "k"},
    ),
]  # fmt: skip

_FORMS = [
    Case(rule, title, javascript, python, events=[track()])
    for rule, title, javascript, python in (
        ("R5", "an async function", f"async function onRequest() {{ {_TRACK} }}",
         f"async def on_request(request, settings): {_PYTHON_TRACK}"),
        ("R5", "a plain function", f"function onRequest() {{ {_TRACK} }}",
         f"def on_request(request, settings): {_PYTHON_TRACK}"),
        ("R5", "a function that returns a promise",
         f"function onRequest() {{ return Promise.resolve().then(() => {{ {_TRACK} }}) }}", ""),
        ("R5", "an object that can be awaited",
         f"function onRequest() {{ return {{then(done) {{ {_TRACK}; done() }}}} }}", ""),
        ("R18", "var", f"var onRequest = async () => {{ {_TRACK} }}", ""),
        ("R18", "an assignment without a declaration", f"onRequest = async () => {{ {_TRACK} }}",
         f"on_request = lambda request, settings: {_PYTHON_TRACK}"),
        ("R18", "const, other than in Segment", f"const onRequest = async () => {{ {_TRACK} }}", ""),
        ("R18", "let, other than in Segment", f"let onRequest = async () => {{ {_TRACK} }} // no line end", ""),
        ("R17", "a declaration below a top-level return",
         f"return; async function onRequest() {{ {_TRACK} }}", ""),
        ("R17", "a conditional assignment",
         f"if (settings_are_fun()) onRequest = () => {{ {_TRACK} }}\nfunction settings_are_fun() {{ return true }}",
         ""),
        ("R17", "an assignment that replaces a declaration",
         f"function onRequest() {{}}\nonRequest = () => {{ {_TRACK} }}", ""),
        ("R16", "code after a byte-order mark", f"\ufeffasync function onRequest() {{ {_TRACK} }}",
         f"\ufeffasync def on_request(request, settings): {_PYTHON_TRACK}"),
        ("R18", "a function of a class", f"class A {{ static run() {{ {_TRACK} }} }}\nvar onRequest = A.run", ""),
        ("R18", "line ends of Windows",
         f"async function onRequest() {{\r\n  // comment\r\n  {_TRACK}\r\n}}\r\n",
         f"async def on_request(request, settings):\r\n  # comment\r\n  {_PYTHON_TRACK}\r\n"),
    )
]  # fmt: skip

_NO_HANDLER = [
    Case(
        rule, title, javascript, python, status=Status.REJECTED, error=("NoHandler", message)
    )
    for rule, title, javascript, python, message in (
        ("R7", "no handler", "function other() {}", "", "function.js defines no onRequest."),
        ("R7", "no handler in Python", "", "def other(): pass", "function.py defines no on_request."),
        ("R7", "an empty file", "\n", "", "function.js defines no onRequest."),
        ("R7", "a handler of another case", "function OnRequest() {}", "", "function.js defines no onRequest."),
        ("R7", "const below a top-level return", "return; const onRequest = () => {}", "",
         "function.js defines no onRequest."),
        ("R8", "a handler that is a number", "onRequest = 12", "",
         "onRequest of function.js is not a function but of type number."),
        ("R8", "a handler that is an object", "var onRequest = {handle() {}}", "",
         "onRequest of function.js is not a function but of type object."),
        ("R8", "a handler that is a number in Python", "", "on_request = 12",
         "on_request of function.py is not a function but of type int."),
    )
]  # fmt: skip

_SYNTAX = [
    Case("R18", title, javascript, status=Status.REJECTED, error=("SyntaxError", message))
    for title, javascript, message in (
        ("export is refused", f"export async function onRequest() {{ {_TRACK} }}", "Unexpected token 'export'"),
        ("import is refused", f"import a from 'a'\nfunction onRequest() {{ {_TRACK} }}",
         "Cannot use import statement outside a module"),
        ("await at the top level is refused", f"await null\nfunction onRequest() {{ {_TRACK} }}",
        "await is only valid…"),
        ("a handler declared twice is refused", "const onRequest = 1\nfunction onRequest() {}",
         "Identifier 'onRequest' has already been declared"),
        ("a brace too many is refused", "function onRequest() {}\n}", "Unexpected token '}'"),
    )
] + [
    Case(
        "R18", "code that only JavaScript has is refused in Python", "", "const a = 1", status=Status.REJECTED,
        error=("SyntaxError", "invalid syntax"),
    ),
]  # fmt: skip

_MODE = [
    Case(
        "R18", "use strict at the beginning has no effect",
        f"'use strict'\nasync function onRequest() {{ implicit = 1; {_TRACK} }}", events=[track()],
    ),
    Case(
        "R18", "use strict within a function has its effect",
        "async function onRequest() { 'use strict'; implicit = 1 }", status=Status.ERROR,
        error=("ReferenceError", "implicit is not defined"),
    ),
    handler(
        "R19", "an undeclared name becomes a global",
        f"later(); function later() {{ implicit = 'x' }}\nif (globalThis.implicit === 'x') {_TRACK}",
        events=[track()],
    ),
    handler("R19", "with is allowed", "with ({event: 'A', userId: '1'}) Segment.track({event, userId})",
            events=[track()]),
    Case("R18", "octal numbers and other things of sloppy mode are allowed",
         "var n = 010\nfunction onRequest(a, a) { Segment.track({event: 'A', userId: n}) }", events=[track(userId=8)]),
]  # fmt: skip

_REALM = [
    value(
        "R21", "what the language has is there",
        "[Object, Array, Error, Math.max, Date, Promise, Map, Symbol, Proxy, Intl.NumberFormat, eval, Function]"
        ".map((one) => typeof one)", is_=["function"] * 12,
    ),
    value("R21", "JSON, Math and WebAssembly are there", "[typeof JSON, typeof Math, typeof WebAssembly]",
          is_=["object"] * 3),
    value("R21", "eval and Function work", "[eval('1 + 1'), new Function('return 3')()]", is_=[2, 3]),
    value("R21", "generators and async iterators work",
          "await (async () => { const seen = []; for await (const n of (async function* () { yield 1; yield 2 })())"
          " seen.push(n); return seen })()", is_=[1, 2]),
    value("R22", "parsed bodies are of the function's own classes, other than in Segment",
          "[request.json() instanceof Object, Array.isArray([])]", is_=[True, True]),
    caught("R22", "errors are of the function's own classes, other than in Segment", "Segment.track({})",
           "[error instanceof Error, error instanceof ValidationError]", is_=[True, True]),
    caught("R22", "an error in a body is of the function's own classes, other than in Segment",
           "new ServerRequest('{', {}).json()", "error instanceof SyntaxError", is_=True),
    Case("R23", "this at the top level is window, and not globalThis",
         "const top = [this === window, this === globalThis]\n"
         "function onRequest() { Segment.track({event: top, userId: '1'}) }",
         events=[track(event=[True, False])]),
    value("R23", "a property of window is no global", "(window.found = 1, [typeof found, window.found])",
          is_=["undefined", 1]),
]  # fmt: skip

_RETURNED = [
    handler(
        "R6", "messages that are returned are not sent, and a warning says so",
        f"{_TRACK}; return {{events: [{{type: 'track', event: 'B', userId: '2'}}], objects: []}}", events=[track()],
        logs=[("warn",
        "What onRequest returns is not sent: call Segment.track and the other helpers for each message.")],
    ),
    handler(
        "R6", "messages that are returned are not sent in Python", "",
        f"{_PYTHON_TRACK}; return {{'events': [{{'type': 'track'}}]}}", events=[track()],
        logs=[("warn",
        "What on_request returns is not sent: call segment.track and the other helpers for each message.")],
    ),
    *(
        handler("R6", f"returning {javascript} means nothing", f"{_TRACK}; return {javascript}",
                f"{_PYTHON_TRACK}; return {python}", events=[track()])
        for javascript, python in (("null", "None"), ("false", "False"), ("'text'", "'text'"), ("[1]", "[1]"))
    ),
]  # fmt: skip

_TOP_LEVEL = [
    Case(
        "R13", "a message sent at the top level keeps the code from loading", f"{_TRACK}\nfunction onRequest() {{}}",
        status=Status.REJECTED, error=("Error", "Segment.track was called outside of onRequest."),
    ),
    Case(
        "R13", "a message sent at the top level keeps the code from loading in Python", "",
        f"{_PYTHON_TRACK}\ndef on_request(request, settings): pass", status=Status.REJECTED,
        error=("RuntimeError", "segment.track was called outside of on_request."),
    ),
    Case(
        "R20", "an error at the top level keeps the code from loading",
        "const a = undefined\na.b.c()\nfunction onRequest() {}", status=Status.REJECTED,
        error=("TypeError", "Cannot read properties of undefined (reading 'b')"),
    ),
    handler("R34", "the settings of one invocation are its own",
            "settings.a.push(1); Segment.track({event: settings.a, userId: '1'})",
            "settings['a'].append(1); segment.track(event=settings['a'], user_id='1')", settings={"a": []},
            events=[track(event=[1])]),
]  # fmt: skip

CASES: list[Case] = [
    *_SETTINGS, *_FORMS, *_NO_HANDLER, *_SYNTAX, *_MODE, *_REALM, *_RETURNED, *_TOP_LEVEL,
]  # fmt: skip
