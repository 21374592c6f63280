"""Tags to many readers: one blocking Redis reader per process, one bounded queue per client.

A client that reads slowly loses score updates it would not miss, because a newer one of the same call replaces the
older, but never a change of tag. A client whose queue is full of those is cut off and told (`gap`).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import redis.asyncio as aioredis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from engine.tasks import end

log = structlog.get_logger(__name__)

BLOCK_MS = 1000
QUEUE = 256  # records per client; beyond that it is cut off, since score updates are already coalesced
BATCH = 500  # live records read at once
REPLAYED = 32  # records that a reader who resumes has of his own at once: he may take as long as he likes for them
REPLAYS = 16  # of which so many are asked for at once; who comes while all are busy waits for his turn
Entry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class HubEvent:
    """One server-sent event: `id` resumes after it, `event` is tag, score, end, gap, degraded or restored."""

    id: str
    event: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Told:
    """An event, and whose it is."""

    event: HubEvent
    call: str
    leg: str


class _Client:
    """A reader's queue: changes of tag in order, one pending score update per leg."""

    def __init__(self, call_id: str | None) -> None:
        self.call_id = call_id
        self.overrun = False
        self._events: OrderedDict[str, HubEvent] = OrderedDict()  # bounded by QUEUE; key: id, or leg for scores
        self._ready = asyncio.Event()

    def offer(self, event: HubEvent, call: str, leg: str) -> None:
        if self.overrun or (self.call_id is not None and call and call != self.call_id):
            return  # nothing follows what was lost: by the last event that was read, all of it can be had again
        key = f"score:{call}:{leg}" if event.event == "score" else f"{event.event}:{event.id}"
        self._events.pop(key, None)
        if len(self._events) >= QUEUE:
            scores = next((k for k in self._events if k.startswith("score:")), None)
            if scores is None:
                self.overrun = True
                self._ready.set()
                return
            del self._events[scores]
        self._events[key] = event
        self._ready.set()

    async def take(self) -> HubEvent | None:
        """The next event; None when the client could not keep up."""
        while not self._events and not self.overrun:
            self._ready.clear()
            await self._ready.wait()
        return self._events.popitem(last=False)[1] if self._events else None


class Hub:
    """Reads the streams of all shards and hands every record to every subscriber."""

    def __init__(self, url: str, streams: Sequence[str]) -> None:
        # A blocking read lasts up to BLOCK_MS: the socket's own time-out must be longer, or each quiet second fails.
        timeout = BLOCK_MS / 1000 + 4
        self._redis = aioredis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=timeout)
        pool = aioredis.BlockingConnectionPool.from_url(
            url, max_connections=REPLAYS, timeout=None, retry=Retry(NoBackoff(), 0), socket_timeout=timeout
        )
        self._past = aioredis.Redis.from_pool(pool)  # a blip brings all readers back at the same moment
        self._streams = list(streams)
        self._last: dict[str, str] = {}
        self._started = "0-0"  # where reading begins should Redis be away at first
        self._clients: set[_Client] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.degraded = False

    async def start(self) -> None:
        self._started = f"{int(time.time() * 1000) - 1}-0"  # ids are wall-clock milliseconds
        self._task = asyncio.create_task(self._read_forever(), name="hub")

    async def aclose(self) -> None:
        self._closing = True
        await end(self._task)
        for client in self._clients:
            client.overrun = True
            client._ready.set()
        await self._redis.aclose()
        await self._past.aclose()

    @property
    def clients(self) -> int:
        return len(self._clients)

    async def subscribe(
        self, last_id: str | None = None, *, call_id: str | None = None, greet: bool = False
    ) -> AsyncGenerator[HubEvent, None]:
        """Records after `last_id` (an event's id), then live ones; without it only live ones.

        With `greet` it also says, before the live ones, that all is well: whoever heard otherwise may have missed the turn.
        Close it when the reader leaves: until then its queue goes on filling.
        """
        client = _Client(call_id)
        self._clients.add(client)  # before the replay is read, so that nothing falls between the two
        try:
            seen = self._parse(last_id)
            if last_id is not None:
                async for event, stream in self._replay(seen, call_id):
                    if event.id:
                        seen[stream] = _key(event.id.rpartition("=")[2])
                    yield event
            if self.degraded or greet:
                yield self._state()
            while (event_or_none := await client.take()) is not None:
                event = event_or_none
                if not self._is_new(event, seen):
                    continue
                yield event
            if not self._closing:
                yield HubEvent("", "gap", b'{"reason":"too slow"}')
        finally:
            self._clients.discard(client)

    def _is_new(self, event: HubEvent, seen: dict[str, tuple[int, int]]) -> bool:
        """Whether a live event came after what the replay already gave."""
        if not event.id:
            return True
        stream, _, plain = event.id.rpartition("=")
        return _key(plain) > seen.get(self._stream_of(stream), (0, 0))

    def _stream_of(self, shard: str) -> str:
        return next((s for s in self._streams if s.rpartition(":")[2] == shard), self._streams[0])

    def _event_id(self, stream: str, plain: str) -> str:
        """With several shards an id also says whose it is; a client resumes each shard from the last it saw."""
        return plain if len(self._streams) == 1 else f"{stream.rpartition(':')[2]}={plain}"

    def _parse(self, last_id: str | None) -> dict[str, tuple[int, int]]:
        """A resume id -> position per stream. ValueError on what no stream ever said."""
        if last_id is None:
            return {}
        shard, _, plain = last_id.rpartition("=")
        position = _key(plain)
        if len(self._streams) == 1:
            return {self._streams[0]: position}
        # The other shards are resumed from the same moment: ids are wall-clock milliseconds.
        named = self._stream_of(shard)
        return {s: position if s == named else (max(0, position[0] - 1000), 0) for s in self._streams}

    async def _replay(
        self, seen: dict[str, tuple[int, int]], call_id: str | None
    ) -> AsyncIterator[tuple[HubEvent, str]]:
        for stream, position in list(seen.items()):
            start = f"({position[0]}-{position[1]}" if position > (0, 0) else "-"
            try:
                first = cast(list[Entry], await self._past.xrange(stream, count=1))
                if first and position > (0, 0) and _key(first[0][0].decode()) > position:
                    yield HubEvent("", "gap", b'{"reason":"older records were trimmed"}'), stream
                while batch := cast(list[Entry], await self._past.xrange(stream, start, "+", count=REPLAYED)):
                    for entry in batch:
                        if (told := self._told(stream, entry)) is not None and call_id in (None, told.call):
                            yield told.event, stream
                    start = f"({batch[-1][0].decode()}"
            except (RedisError, OSError):
                yield HubEvent("", "gap", b'{"reason":"redis is away"}'), stream

    def _told(self, stream: str, entry: Entry) -> _Told | None:
        """What an entry says; None where somebody else has written it."""
        plain, fields = entry
        try:
            event = HubEvent(self._event_id(stream, plain.decode()), fields[b"kind"].decode(), fields[b"data"])
            return _Told(event, fields[b"call"].decode(), _leg(fields[b"data"]))
        except (KeyError, ValueError, msgspec.MsgspecError):
            log.warning("an entry of the stream is no record", stream=stream, id=plain.decode())
            return None

    async def _read_forever(self) -> None:
        while not self._closing:
            try:
                if not self._last:
                    self._last = await self._tails()
                answer = await self._redis.xread(cast(Any, self._last), count=BATCH, block=BLOCK_MS)
                self._mark(degraded=False)
                for stream, entries in cast(list[tuple[bytes, list[Entry]]], answer or []):
                    self._spread(stream.decode(), entries)
            except (RedisError, OSError) as error:
                if not self._last:
                    # What was published since waits in a spool, and may be in the stream before its tail could be asked for.
                    self._last = dict.fromkeys(self._streams, self._started)
                if not self.degraded:
                    log.warning("hub lost redis", error=str(error))
                self._mark(degraded=True)
                await asyncio.sleep(0.2)

    async def _tails(self) -> dict[str, str]:
        tails = {}
        for stream in self._streams:
            newest = cast(list[Entry], await self._redis.xrevrange(stream, count=1))
            tails[stream] = newest[0][0].decode() if newest else "0-0"
        return tails

    def _spread(self, stream: str, entries: list[Entry]) -> None:
        self._last[stream] = entries[-1][0].decode()
        for entry in entries:
            if (told := self._told(stream, entry)) is not None:
                for client in self._clients:
                    client.offer(told.event, told.call, told.leg)

    def _state(self) -> HubEvent:
        return HubEvent("", "degraded" if self.degraded else "restored", b"{}")

    def _mark(self, *, degraded: bool) -> None:
        if degraded is self.degraded:
            return
        self.degraded = degraded
        event = self._state()
        for client in self._clients:
            client.offer(event, "", "")


class _Leg(msgspec.Struct):
    leg: str = ""


def _leg(data: bytes) -> str:
    return msgspec.json.decode(data, type=_Leg).leg


def _key(plain: str) -> tuple[int, int]:
    ms, _, sequence = plain.partition("-")
    try:
        return int(ms), int(sequence or 0)
    except ValueError:
        raise ValueError(f'"{plain[:40]}" is not an event id of the form 1700000000000-0') from None
