"""`request`: body, headers, URL, and what is not there (R3, R24 to R29)."""

from tests.processors.runtimes.conformance.case import Case, caught, throws, value
from tests.processors.runtimes.languages import webhook

_SPACED = b'{"b" : 1,\n  "a":2}'
_HEADERS = webhook(headers=[("Content-Type", "application/json"), ("X-List", "a"), ("x-list", "b")])
_QUERY = webhook(url="https://in.example/hook/a%20b?q=1+2&q=3&empty=&e=%C3%A9")

_BODY = [
    value("R26", "json() is the parsed body", "request.json()", "request.json()", is_={"a": [1, None]},
          request=webhook(b'{"a": [1, null]}')),
    value("R26", "json() needs no await", "typeof request.json().then", is_="undefined"),
    value("R26", "json() may be awaited", "await request.json()", is_={"a": 1}, request=webhook(b'{"a":1}')),
    value("R26", "json() is the same object every time, changes and all",
          "(request.json().b = 2, [request.json(), request.json() === request.json()])",
          "[request.json().update({'b': 2}) or request.json(), request.json() is request.json()]",
          is_=[{"a": 1, "b": 2}, True], request=webhook(b'{"a":1}')),
    value("R27", "text() is exactly what was sent", "request.text()", "request.text()", is_=_SPACED.decode(),
          request=webhook(_SPACED)),
    value("R27", "text() needs no await", "typeof request.text()", is_="string"),
    value("R27", "text() does not follow changes of json(), other than in Segment",
          "(request.json().a = 2, request.text())", "(request.json().update(a=2), request.text())[1]", is_='{"a":1}',
          request=webhook(b'{"a":1}')),
    value("R27", "text() has characters of any plane", "request.text()", "request.text()",
          is_="\u00e9 \U0001f389 \u2028",
          request=webhook("\u00e9 \U0001f389 \u2028".encode())),
    value("R27", "a hash over text() is that of the bytes sent",
          "crypto.createHmac('sha256', 'k').update(request.text()).digest('hex')",
          "__import__('hmac').new(b'k', request.text().encode(), 'sha256').hexdigest()",
          # printf '{"b" : 1,\n  "a":2}' | openssl dgst -sha256 -hmac k
          is_="b9acc275aa2ea87e67cdb8865ed09aa618ad741b0ddfdc54a5b67d6412e09b23", request=webhook(_SPACED)),
    value("R28", "an empty body is an empty text, other than in Segment", "request.text()", "request.text()", is_="",
          request=webhook(b"")),
    value("R28", "the body null is the value null, other than in Segment", "[request.json(), request.text()]",
          "[request.json(), request.text()]", is_=[None, "null"], request=webhook(b"null")),
    value("R28", "keys keep their order", "Object.keys(request.json())", "list(request.json())", is_=["b", "a"],
          request=webhook(_SPACED)),
    value("R28", "a body may be an array", "[request.json(), Array.isArray(request.json())]", is_=[[1, 2], True],
          request=webhook(b"[1,2]")),
    value("R28", "a body may be a number, a text or a truth value", "request.json()", "request.json()", is_=12.5,
          request=webhook(b"12.5")),
    value("R25", "a body of another kind is text", "request.text()", "request.text()", is_="a=1&b=%20",
          request=webhook(b"a=1&b=%20")),
    value("R25", "a form is read with URLSearchParams", "new URLSearchParams(request.text()).get('b')",
          "__import__('urllib.parse').parse.parse_qs(request.text())['b'][0]", is_="x y",
          request=webhook(b"a=1&b=x+y")),
]  # fmt: skip

_BAD_BODY = [
    throws("R28", "json() of an empty body says so", "request.json()", error=("SyntaxError", "The body is empty"),
           request=webhook(b"")),
    throws("R26", "json() of a body that is not JSON says so", "request.json()",
           error=("SyntaxError", "The body is not JSON: …"), request=webhook(b"{a}")),
    throws("R26", "json() of a body that ends too early says so", "request.json()",
           error=("SyntaxError", "The body is not JSON: …"), request=webhook(b'{"a":')),
    throws("R26", "json() of a body that is not UTF-8 names the byte", "request.json()",
           error=("SyntaxError", "The body is not UTF-8: it has the byte 0xff at offset 6"),
           request=webhook(b'{"a":"\xff"}')),
    throws("R26", "json() of a body that ends within a character names the byte", "request.json()",
           error=("SyntaxError", "The body is not UTF-8: it has the byte 0xc3 at offset 1"), request=webhook(b'"\xc3')),
    throws("R26", "json() of a bad body fails every time",
           "try { request.json() } catch { request.json() }", error=("SyntaxError", "The body is not JSON: …"),
           request=webhook(b"-")),
    *(
        throws("R26", f"json() of {what} says so in Python", "", "request.json()", error=("JSONDecodeError", message),
               request=webhook(body))
        for what, body, message in (
            ("an empty body", b"", "The body is empty…"),
            ("a body that is not JSON", b"{a}", "The body is not JSON: …"),
            ("a body that is not UTF-8", b'{"a":"\xff"}', "The body is not UTF-8: it has the byte 0xff at offset 6…"),
        )
    ),
    value("R27", "text() of what is not UTF-8 has U+FFFD", "request.text()", "request.text()", is_="a\ufffdb",
          request=webhook(b"a\xffb")),
    value("R26", "U+FFFD itself is a character like any other", "request.json()", "request.json()", is_="\ufffd",
          request=webhook('"\ufffd"'.encode())),
]  # fmt: skip

_HEADER = [
    value("R29", "get() takes a name in any case", "request.headers.get('CONTENT-type')",
          "request.headers.get('CONTENT-type')", is_="application/json", request=_HEADERS),
    value("R29", "get() of what is not there is null", "request.headers.get('x-none')",
          "request.headers.get('x-none')", is_=None, request=_HEADERS),
    value("R29", "several of one name are joined by a comma", "request.headers.get('x-list')",
          "request.headers.get('x-list')", is_="a, b", request=_HEADERS),
    value("R29", "has() says whether it is there", "[request.headers.has('X-LIST'), request.headers.has('x')]",
          "['X-LIST' in request.headers, 'x' in request.headers]", is_=[True, False], request=_HEADERS),
    value("R29", "names are in lower case", "[...request.headers.keys()]", "sorted(request.headers)",
          is_=["content-type", "x-list"], request=_HEADERS),
    value("R29", "pairs can be gone through", "Object.fromEntries(request.headers)", "dict(request.headers)",
          is_={"content-type": "application/json", "x-list": "a, b"}, request=_HEADERS),
    value("R29", "headers can be changed",
          "(request.headers.set('a', 'b'), request.headers.delete('x-list'), [...request.headers.keys()])",
          is_=["a", "content-type"], request=_HEADERS),
    value("R29", "headers are the same object every time",
          "[request.headers === request.headers, request.headers instanceof Headers]", is_=[True, True]),
    value("R29", "raw() has a list by name", "request.headers.raw()",
          is_={"content-type": ["application/json"], "x-list": ["a, b"]}, request=_HEADERS),
    value("R29", "a value beyond Latin-1 does not hide the others", "request.headers.get('b')",
          "request.headers.get('b')", is_="plain", request=webhook(headers=[("a", "\u65e5\u672c"), ("b", "plain")])),
    value("R29", "headers that are not there are none", "[...request.headers].length", "len(request.headers)", is_=0),
]  # fmt: skip

_URL = [
    value("R3", "the URL is the one that was called", "String(request.url)", "str(request.url)",
          is_="https://in.example/hook/a%20b?q=1+2&q=3&empty=&e=%C3%A9", request=_QUERY),
    value("R29", "a parameter is decoded", "request.url.searchParams.get('q')", "request.url.search_params.get('q')",
          is_="1 2", request=_QUERY),
    value("R29", "a parameter may be there twice", "request.url.searchParams.getAll('q')",
          "request.url.search_params.get_all('q')", is_=["1 2", "3"], request=_QUERY),
    value("R29", "a parameter that is not there is null", "request.url.searchParams.get('z')",
          "request.url.search_params.get('z')", is_=None, request=_QUERY),
    value("R29", "an empty parameter is an empty text", "request.url.searchParams.get('empty')",
          "request.url.search_params.get('empty')", is_="", request=_QUERY),
    value("R29", "a parameter beyond ASCII is UTF-8", "request.url.searchParams.get('e')",
          "request.url.search_params.get('e')", is_="\u00e9", request=_QUERY),
    value("R29", "the URL has its parts", "[request.url.hostname, request.url.pathname, request.url.protocol]",
          is_=["in.example", "/hook/a%20b", "https:"], request=_QUERY),
    value("R29", "the URL is a URL, the same every time",
          "[request.url instanceof URL, request.url === request.url]", is_=[True, True]),
    value("R29", "the URL cannot be replaced, which is ignored",
          "(request.url = 'https://other.example/', request.url.hostname)", is_="in.example"),
    value("R29", "headers cannot be replaced, which is ignored",
          "(request.headers = null, typeof request.headers.get)", is_="function"),
]  # fmt: skip

_ABSENT = [
    value("R29", "a request has no method, body, arrayBuffer, clone, formData and ip",
          "['method', 'body', 'arrayBuffer', 'clone', 'formData', 'ip'].filter((name) => name in request)", is_=[]),
]  # fmt: skip

_MADE = [
    value("R24", "a request can be made of a text",
          "(() => { const made = new ServerRequest('{\"a\": 1}', {headers: {'X-A': 'b'}, url: 'https://a.example?q=1'});"
          " return [made.text(), made.json(), made.headers.get('x-a'), made.url.searchParams.get('q')] })()",
          is_=['{"a": 1}', {"a": 1}, "b", "1"]),
    value("R25", "a request can be made of a value",
          "(() => { const made = new ServerRequest({a: [1]}, {headers: {}, url: 'https://a.example/'});"
          " made.json().b = 2; return [made.text(), made.text() === made.text()] })()",
          is_=['{"a":[1],"b":2}', True]),
    value("R25", "a value is the body itself", "((given) => new ServerRequest(given, {}).json() === given)([1])",
          is_=True),
    *(
        caught("R25", f"a request cannot be made of {body}", f"new ServerRequest({body}, {{}})", "String(error)",
               is_="TypeError: unsupported body type")
        for body in ("undefined", "12", "true")
    ),
    caught("R3", "a relative URL is refused", "new ServerRequest('', {url: '/a'})", "error.name + error.message",
           is_="TypeErrorInvalid URL"),
    value("R24", "headers and URLs are taken as they are",
          "((headers, url) => { const made = new ServerRequest('', {headers, url});"
          " return [made.headers === headers, made.url === url] })(new Headers(), new URL('https://a.example'))",
          is_=[True, True]),
    value("R24", "the request of a webhook is a ServerRequest", "request instanceof ServerRequest", is_=True),
]  # fmt: skip

CASES: list[Case] = [*_BODY, *_BAD_BODY, *_HEADER, *_URL, *_ABSENT, *_MADE]
