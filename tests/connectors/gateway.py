"""The gateway with made-up parts behind it, on a real loopback port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from connectors.documents import documents
from connectors.gateway import GatewayOptions, build_app
from connectors.requests import CallRequest, ExaminationRequest
from engine.errors import AudioError, OverloadError

TOKEN = "a-token-for-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
Json = dict[str, Any]


class Desk:
    """A CallDesk that remembers what it was asked."""

    def __init__(self) -> None:
        self.live: dict[str, CallRequest] = {}
        self.uploads: list[tuple[str, bytes, bool]] = []
        self.examined: list[tuple[str, str, ExaminationRequest]] = []
        self.record: Json | None = None  # of the caller's leg of every live call
        self.not_now = ""  # why nothing can be pressed or seen
        self.full = self.draining = False

    async def open_call(self, request: CallRequest) -> Json:
        if self.full:
            raise OverloadError("1 call is running, which is the limit")
        call_id = request.call_id or f"c{len(self.live)}"
        self.live[call_id] = request
        return {"call_id": call_id, "legs": {leg: {"host": "127.0.0.1", "port": 20000} for leg in request.legs}}

    async def open_recording(self, path: Path, name: str, *, realtime: bool, split: bool = False) -> Json:
        self.split = split
        self.uploads.append((name, path.read_bytes(), realtime))
        if self.uploads[-1][1] == b"not audio":
            raise AudioError(f"{name} is no audio file that can be read")
        if self.uploads[-1][1] == b"broken":
            raise AudioError(f"{path} breaks off")
        return {"call_id": "r1", "legs": ["caller"]}

    async def close_call(self, call_id: str) -> Json | None:
        return {"call_id": call_id, "ended": True} if self.live.pop(call_id, None) else None

    def calls(self) -> list[Json]:
        return [{"call_id": call_id} for call_id in self.live]

    def call(self, call_id: str) -> Json | None:
        return {"call_id": call_id} if call_id in self.live else None

    def examination(self, call_id: str, leg: str) -> Json | None:
        if self.not_now:
            raise ValueError(self.not_now)
        return self.record if call_id in self.live and leg in self.live[call_id].legs else None

    def examine(self, call_id: str, leg: str, request: ExaminationRequest) -> Json | None:
        self.examined.append((call_id, leg, request))
        return self.examination(call_id, leg)

    def thresholds(self) -> Json:
        return {"deepfake_llr": -2.0, "human_llr": 1.0}

    def metrics(self) -> bytes:
        return b"vivavoce_calls 0\n"

    def ready(self) -> Json:
        return {"ready": not self.draining}


class Whip:
    def __init__(self) -> None:
        self.sessions: dict[str, Mapping[str, str]] = {}
        self.on_open: Callable[[], None] = lambda: None

    async def open(self, offer: str, metadata: Mapping[str, str], call_id: str | None = None) -> tuple[str, str, str]:
        self.on_open()
        if not offer.startswith("v=0"):
            raise ValueError("the offer is no SDP: it does not begin with v=0")
        self.sessions["s1"] = metadata
        return "s1", call_id or "w1", "v=0\r\nanswer"

    async def close(self, session_id: str) -> bool:
        return self.sessions.pop(session_id, None) is not None


@dataclass(frozen=True)
class Event:
    id: str
    event: str
    data: bytes


class Feed:
    """Hands the same events to everybody, from behind the id that is given; then waits."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ending = False

    async def subscribe(
        self, last_id: str | None = None, *, call_id: str | None = None, greet: bool = False
    ) -> AsyncGenerator[Event, None]:
        ids = [event.id for event in self.events]
        for event in self.events[ids.index(last_id) + 1 if last_id in ids else 0 :]:
            yield event
        if not self.ending:
            await asyncio.Event().wait()


@dataclass
class Setup:
    client: TestClient[web.Request, web.Application]
    desk: Desk
    whip: Whip
    feed: Feed


async def start(**options: Any) -> Setup:
    """A gateway that is listening; the test closes `client`."""
    desk, whip, feed = Desk(), Whip(), Feed()
    wanted = GatewayOptions(**{"token": TOKEN, "documents": documents(), "rate_limit_per_s": 1e6, **options})
    client = TestClient(TestServer(build_app(desk, feed, whip, wanted)))  # type: ignore[arg-type]
    await client.start_server()
    return Setup(client, desk, whip, feed)
