"""Names that code finds, and names that it does not (R30 to R32, F22, F24)."""

from processors.runtimes.contract import Status
from tests.processors.runtimes.conformance.case import Case, throws, value

_PRESENT = [
    value("R30", f"{what} are there", f"[{', '.join(f'typeof {name}' for name in names.split())}]",
          is_=[kind] * len(names.split()))
    for what, kind, names in (
        ("classes of the Web", "function",
         "URL URLSearchParams Request Response Headers FormData ServerRequest fetch"),
        ("the error classes", "function", "ValidationError EventNotSupported InvalidEventPayload RetryError DropEvent"),
        ("timers and codecs", "function", "setTimeout setInterval clearTimeout clearInterval atob btoa Buffer"),
        ("objects", "object", "crypto console Segment cache window"),
    )
]  # fmt: skip

_ABSENT = [
    value("R31", f"{what} are not there", f"[{', '.join(f'typeof {name}' for name in names.split())}]",
          is_=["undefined"] * len(names.split()))
    for what, names in (
        ("modules", "require module exports __dirname __filename"),
        ("Node.js and its environment", "process global setImmediate clearImmediate queueMicrotask"),
        ("a browser's globals", "self navigator document performance Blob structuredClone"),
        ("text codecs and abort controllers", "TextEncoder TextDecoder AbortController"),
        ("libraries of later years", "moment stripe jsonwebtoken"),
    )
]  # fmt: skip

_BUILT_IN = [
    value("R30", "crypto hashes", "crypto.createHash('md5').update('a').digest('hex')",
          is_="0cc175b9c0f1b6a831c399e269772661"),
    value("R30", "crypto signs", "crypto.createHmac('sha256', 'key').update('a').digest('base64').length", is_=44),
    value("R30", "crypto makes random bytes", "crypto.randomBytes(4).length", is_=4),
    value("R30", "Buffer converts", "Buffer.from('\\u00e9').toString('base64')", is_="w6k="),
    value("R30", "URL parses", "new URL('/b?c=1', 'https://a.example').href", is_="https://a.example/b?c=1"),
    value("R30", "URLSearchParams writes", "new URLSearchParams({a: '1 2', b: '\\u00e9'}).toString()",
          is_="a=1+2&b=%C3%A9"),
    value("R30", "Headers keeps", "new Headers({A: 'b', C: ['1', '2']}).get('c')", is_="1,2"),
    value("R30", "Response is read", "await new Response('{\"a\":1}', {status: 201}).json()", is_={"a": 1}),
    value("R30", "Request is read", "[new Request('https://a.example/', {method: 'PUT'}).method]", is_=["PUT"]),
    value("R30", "FormData keeps",
          "(() => { const form = new FormData(); form.append('a', 'b'); return form.get('a') })()",
          is_="b"),
    value("R30", "atob decodes, leniently as the package does", "[atob('aGk='), atob('aGk'), atob('a Gk')]",
          is_=["hi", "hi", "hi"]),
    value("R32", "btoa takes characters as bytes", "btoa('\\u00e9')", is_="6Q=="),
    value("R32", "btoa cuts characters beyond Latin-1, as the package does", "btoa('\\u0101')", is_="AQ=="),
    value("R32", "btoa takes what is no text", "btoa(12)", is_="MTI="),
    value("R30", "setTimeout waits", "await new Promise((done) => setTimeout(done, 1, 'late'))", is_="late"),
    value("R30", "setInterval repeats until it is cleared",
          "await new Promise((done) => { let n = 0; const id = setInterval(() => "
          "{ if (++n === 3) { clearInterval(id); done(n) } }, 1) })", is_=3),
    value("R30", "clearTimeout prevents",
          "await new Promise((done) => { clearTimeout(setTimeout(done, 1, 'first')); setTimeout(done, 5, 'second') })",
          is_="second"),
]  # fmt: skip

_WINDOW = [
    value("R30", "window has the same objects",
          "[window.Segment === Segment, window.URL === URL, window.console === console, window.Headers === Headers]",
          is_=[True] * 4),
    value("R30", "window has every global of the list",
          "'AWS atob btoa crypto FormData OAuth xml _ console Buffer URL URLSearchParams fetch Request Response "
          "Headers ServerRequest setTimeout setInterval clearTimeout clearInterval Segment ValidationError "
          "EventNotSupported InvalidEventPayload'.split(' ').filter((name) => !(name in window))", is_=[]),
    value("R30", "a global may be replaced", "(atob = (text) => text + '!', atob('a'))", is_="a!"),
    value("R30", "a global that is loaded late may be replaced", "(_ = {size: () => 3}, _.size())", is_=3),
]  # fmt: skip

_NOT_INSTALLED = (
    "{} is the npm package {}, which is not installed where this function runs: "
    "npm install {}, and name the node_modules folder in HOOKMILL_PROCESSORS__JAVASCRIPT_PACKAGES."
)

_PACKAGES = [
    value("F22", f"{name} can be looked at where its package is not installed", f"typeof {name}", is_="function")
    for name in ("_", "AWS", "OAuth", "xml")
] + [
    throws(
        "F22", f"using {name} where its package is not installed names the package", use,
        error=("Error", _NOT_INSTALLED.format(name, package, package)),
    )
    for name, package, use in (
        ("_", "lodash", "_.get({}, 'a')"),
        ("AWS", "aws-sdk", "new AWS.S3()"),
        ("OAuth", "oauth", "new OAuth.OAuth2()"),
        ("xml", "xml", "xml({a: 1})"),
    )
] + [
    Case("F22", "code that only mentions packages runs",
         "const lodash = _\nfunction onRequest() { Segment.track({event: typeof lodash, userId: '1'}) }",
         events=[{"type": "track", "event": "function", "userId": "1"}]),
]  # fmt: skip

_OFF = (
    "The network is off for this source. Name the hosts that its function may reach in source.toml: "
    '[network] allow = ["api.example.com"].'
)

_NETWORK = [
    throws("F24", "fetch is refused where the source allows no hosts, and says what does",
           "await fetch('https://api.example.com/')",
           error=("FetchError", _OFF)),
    value("F24", "fetch that is refused can be caught", "await fetch('https://api.example.com/').catch(() => 'caught')",
          is_="caught"),
]  # fmt: skip

_MODULES = [
    Case("R31", "require keeps code from loading", "const a = require('fs')\nfunction onRequest() {}",
         status=Status.REJECTED, error=("ReferenceError", "require is not defined")),
    Case("F46", "exports beside a handler of today are not defined",
         "async function onRequest() {}\nexports.processEvents = async () => {}",
         status=Status.REJECTED, error=("ReferenceError", "exports is not defined")),
    throws("R31", "import() has no modules", "await import('node:fs')",
           error=("TypeError", "A dynamic import callback was not specified.")),
]  # fmt: skip

CASES: list[Case] = [*_PRESENT, *_ABSENT, *_BUILT_IN, *_WINDOW, *_PACKAGES, *_NETWORK, *_MODULES]
