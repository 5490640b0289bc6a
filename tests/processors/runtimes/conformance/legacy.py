"""`exports.processEvents`: functions from before September 2019, which only JavaScript has (F43 to F46)."""

from typing import Any

from processors.runtimes.contract import Status
from tests.processors.runtimes.conformance.case import Case, track
from tests.processors.runtimes.languages import webhook

_CALL = webhook(
    b'{"a":1}', url="https://in.example/?q=1&list=2&list=3", headers=[("X-Kind", "k"), ("x-list", "a"), ("X-List", "b")]
)


def _legacy(rule: str, title: str, body: str, **expected: Any) -> Case:
    return Case(rule, title, f"exports.processEvents = async (event) => {{ {body} }}", **expected)


def _seen(rule: str, title: str, javascript: str, is_: Any, **options: Any) -> Case:
    body = f"return {{objects: [{{collection: 'values', id: 1, properties: {{value: {javascript}}}}}]}}"
    expected = {"collection": "values", "id": 1, "properties": {"value": is_}}
    return _legacy(rule, title, body, objects=[expected], **options)


_INPUT = [
    _seen("F44", "the body is parsed", "event.payload.body", {"a": 1}, request=_CALL),
    _seen("F44", "a body that is not JSON is a text", "event.payload.body", "a=1", request=webhook(b"a=1")),
    _seen("F44", "headers are an object with names in lower case", "event.payload.headers",
          {"x-kind": "k", "x-list": "a, b"}, request=_CALL),
    _seen("F44", "parameters of the query are an object, with a list for several of one name",
          "event.payload.queryParameters", {"q": "1", "list": ["2", "3"]}, request=_CALL),
    _seen("F44", "without a query there are no parameters", "event.payload.queryParameters", {}),
    _seen("F44", "the input has nothing else", "[Object.keys(event), Object.keys(event.payload)]",
          [["payload"], ["body", "headers", "queryParameters"]]),
    _seen("F44", "the input is of the function's own classes", "event.payload.body instanceof Object", True),
]  # fmt: skip

_OUTPUT = [
    _legacy("F44", "returned events are sent",
            "return {events: [{type: 'track', event: 'A', userId: '1', properties: {a: 1}}]}",
            events=[track(properties={"a": 1})]),
    _legacy("F44", "returned objects are sent", "return {objects: [{collection: 'c', id: 1, properties: {a: 1}}]}",
            objects=[{"collection": "c", "id": 1, "properties": {"a": 1}}]),
    _legacy("F44", "both are sent, in their order",
            "return {events: ['A', 'B'].map((event) => ({type: 'track', event, userId: '1'})), "
            "objects: [{collection: 'c', id: 1}]}",
            events=[track(), track(event="B")], objects=[{"collection": "c", "id": 1}]),
    _legacy("F44", "events may have fields that helpers would drop",
            "return {events: [{type: 'page', userId: '1', category: 'c'}]}",
            events=[{"type": "page", "userId": "1", "category": "c"}]),
    _legacy("F44", "returning nothing sends nothing", ""),
    _legacy("F44", "returning empty lists sends nothing", "return {events: [], objects: []}"),
    Case("F44", "a plain function works", "exports.processEvents = function () { return {events: [{type: 'track', "
         "event: 'A', userId: '1'}]} }", events=[track()]),
    _legacy("F44", "events that are no list are refused", "return {events: {type: 'track'}}", status=Status.ERROR,
            error=("TypeError", "processEvents returned events that are not an array.")),
    _legacy("F44", "an event that is no object is refused", "return {events: ['track']}", status=Status.ERROR,
            error=("TypeError", "A message of type undefined is not an object when written as JSON.")),
    _legacy("F44", "more than 1,000 messages are too many", "return {events: Array(1001).fill({type: 'track'})}",
            status=Status.TOO_LARGE, error=("TooLarge", "The function sent more than 1000 messages.")),
    _legacy("F44", "an error sends nothing", "throw new ValidationError('why')", status=Status.REJECTED,
            error=("ValidationError", "why")),
    _legacy("F45", "helpers work on the way to the new form",
            "Segment.track({event: 'A', userId: '1'}); return {events: [{type: 'track', event: 'B', userId: '1'}]}",
            events=[track(), track(event="B")]),
]  # fmt: skip

_LOADING = [
    Case("F43", "exports may be written in other ways",
         "const handle = async () => ({events: [{type: 'track', event: 'A', userId: '1'}]})\n"
         "Object.assign(exports, {processEvents: handle})", events=[track()]),
    Case("F43", "the top level runs anew, and its state stays",
         "globalThis.runs = (globalThis.runs || 0) + 1\n"
         "exports.processEvents = async () => ({events: [{type: 'track', event: runs, userId: '1'}]})",
         events=[track(event=1)]),
    Case("F46", "exports without processEvents are not defined", "exports.handler = async () => {}",
         status=Status.REJECTED, error=("ReferenceError", "exports is not defined")),
    Case("F46", "processEvents that is no function is no handler", "exports.processEvents = {}",
         status=Status.REJECTED, error=("ReferenceError", "exports is not defined")),
    Case("F46", "another missing name is told as such", "missing.processEvents = async () => {}",
         status=Status.REJECTED, error=("ReferenceError", "missing is not defined")),
    Case("R31", "code that looks for exports first finds none, and its handler counts",
         "if (typeof exports !== 'undefined') exports.processEvents = () => ({events: [1]})\n"
         "async function onRequest() { Segment.track({event: 'A', userId: '1'}) }", events=[track()]),
]  # fmt: skip

CASES: list[Case] = [*_INPUT, *_OUTPUT, *_LOADING]
