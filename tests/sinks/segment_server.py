"""Segment's two APIs as SEGMENT-SPEC W1-W22 describes them: what they refuse aloud, and what they drop in silence."""

import base64
import json
import re
from datetime import datetime
from typing import Any

from aiohttp import web

from tests.sinks.destination import Request

WRITE_KEY = "a-write-key"
OBJECTS_OF_A_CALL = ("properties", "traits", "context", "integrations")
CALLS = ("track", "identify", "page", "screen", "group", "alias")
COLLECTION = re.compile(r"(?=.{1,100}$)[a-z]([a-z_]*[a-z])?")


class SegmentServer:
    """Answers for a `Destination`; keeps what came through, and what a real one would have dropped."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.dropped: list[Any] = []
        self.batch_sizes: list[int] = []
        self.set_sizes: list[int] = []

    async def answer(self, request: Request) -> web.Response:
        expected = base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            return web.json_response({"code": "unauthorized"}, status=401)
        if len(request.body) > 500_000 or request.headers.get("Content-Type") != "application/json":
            return web.json_response({"code": "too_large"}, status=400)
        body = json.loads(request.body)
        match request.path:
            case "/v1/batch":
                return self._batch(body)
            case "/v1/set":
                return self._set(body)
            case _:
                return web.Response(status=404)

    def _batch(self, body: dict[str, Any]) -> web.Response:
        items = body["batch"]
        self.batch_sizes.append(len(items))
        if any(len(json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode()) > 32_768 for item in items):
            return web.json_response({"code": "too_large"}, status=400)
        for item in items:
            is_taken = len(items) <= 2_500 and "sentAt" in body and _is_valid(item)
            (self.events if is_taken else self.dropped).append(item)
        return web.json_response({"success": True})

    def _set(self, body: dict[str, Any]) -> web.Response:
        self.set_sizes.append(len(body["objects"]))
        if not COLLECTION.fullmatch(body["collection"]) or not 1 <= len(body["objects"]) <= 10:
            return web.json_response({"code": "malformed"}, status=400)
        for item in body["objects"]:
            properties = item["properties"]
            if not (
                isinstance(item["id"], str)
                and 1 <= len(item["id"]) <= 100
                and properties
                and all(isinstance(value, str | int | float) for value in properties.values())
            ):
                return web.json_response({"code": "malformed"}, status=400)
            self.objects.setdefault((body["collection"], item["id"]), {}).update(properties)
        return web.json_response({"success": True})


def _is_valid(item: dict[str, Any]) -> bool:
    ids = [item[name] for name in ("userId", "anonymousId", "groupId") if name in item]
    return (
        item.get("type") in CALLS
        and ("userId" in item or "anonymousId" in item)
        and all(isinstance(value, str) and value for value in ids)
        and 1 <= len(item["messageId"]) <= 100
        and (item["type"] != "track" or (isinstance(item.get("event"), str) and item["event"] != ""))
        and (item["type"] != "group" or "groupId" in item)
        and all(isinstance(item.get(name, {}), dict) for name in OBJECTS_OF_A_CALL)
        and all(isinstance(item[name], str) and item[name] for name in ("name", "category") if name in item)
        and datetime.fromisoformat(item["timestamp"]).tzinfo is not None
    )
