"""Answers: as bytes for requests that were taken whole, as responses of aiohttp's for all others."""

import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web

from hookmill.codec import encode
from ingest.refusals import Refused


class AcceptedAnswers:
    """Makes answers of 202 as bytes; keeps their head for as long as the second in its Date."""

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._second = 0
        self._head = b""

    def answer_bytes(self, request_id: str, closes: bool) -> bytes:
        """202 with the request id; `closes`: the connection ends with it."""
        if closes:
            return _answer_bytes(HTTPStatus.ACCEPTED, {"request_id": request_id}, {"Connection": "close"})
        second = int(self._now_s())
        if second != self._second:
            self._second = second
            self._head = _accepted_head(second)
        return b'%b{"request_id":"%b"}' % (self._head, request_id.encode())


def _accepted_head(now_s: int) -> bytes:
    body_bytes = len('{"request_id":""}') + 36  # a UUID has 36 characters
    return (
        "HTTP/1.1 202 Accepted\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {body_bytes}\r\n"
        f"Date: {formatdate(now_s, usegmt=True)}\r\n\r\n"
    ).encode()


def accepted_answer(request_id: str, closes: bool) -> web.Response:
    """202 with the request id."""
    response = _json_response(HTTPStatus.ACCEPTED, {"request_id": request_id}, {})
    if closes:
        response.force_close()
    return response


def refused_answer(refused: Refused, closes: bool) -> web.Response:
    """The refusal as JSON `{"error": code, "message": text}`."""
    response = _json_response(refused.status, _body_of(refused), refused.headers)
    if closes or refused.closes:
        response.force_close()
    return response


def refused_bytes(refused: Refused, closes: bool) -> bytes:
    """The same as bytes."""
    headers = {**refused.headers, "Connection": "close"} if closes else refused.headers
    return _answer_bytes(refused.status, _body_of(refused), headers)


def _body_of(refused: Refused) -> dict[str, str]:
    return {"error": refused.code, "message": str(refused)}


def _answer_bytes(status: HTTPStatus, body: dict[str, str], headers: dict[str, str]) -> bytes:
    content = encode(body)
    named = {
        **headers,
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(content)),
        "Date": formatdate(usegmt=True),
        "Server": "hookmill",
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _json_response(status: HTTPStatus, body: dict[str, str], headers: dict[str, str]) -> web.Response:
    # aiohttp would name its version and Python's.
    named = {**headers, "Server": "hookmill"}
    return web.Response(body=encode(body), status=status, headers=named, content_type="application/json")
