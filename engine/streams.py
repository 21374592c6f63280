"""Tags out: one Redis stream per shard, one writer each, nothing lost while Redis is away.

`publish` never waits and never fails: it numbers the record, encodes it and puts it into a bounded spool. One task
writes the spool out in pipelines. Ids are explicit and rising, so a repeated write is refused by Redis instead of
becoming a duplicate; that is also why a record counts as delivered when Redis calls its id "equal or smaller". Ids that
were given before the server was met, and lie below what its stream holds by then, are given anew. After
a restart of Redis the last seconds are offered again, since an append-only file synced once a second may have lost
them; so that no restart goes unnoticed, nothing is written on a connection before the server was asked which run of it
this is.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec
import redis.asyncio as aioredis
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from engine.errors import ConfigError
from engine.events import Tag
from engine.spool import Record, Spool
from engine.tasks import end

log = structlog.get_logger(__name__)

PREFIX = "vivavoce:tags:"
PIPELINE = 1000  # records per round trip
REPLAY_S = 5.0  # before the last acknowledgement, offered again after a restart; the file is synced every second
REPLAY_MAX = 20000  # records kept for that
TRIM_EVERY_S = 10.0
REFUSED = (AuthenticationError, NoPermissionError)  # of Redis to whom it does not know: no waiting mends that
PROBE_S = 2.0  # with nothing to write, Redis is asked this often whether it is there


def stream_name(shard: int) -> str:
    return f"{PREFIX}{shard}"


def _text(number: tuple[int, int]) -> str:
    return f"{number[0]}-{number[1]}"


def encode_tag(tag: Tag) -> bytes:
    """The record as JSON; field names and order are those of `engine.events.Tag`."""
    return msgspec.json.encode(tag)


@dataclass
class PublisherStats:
    """What the metrics show of the way to Redis."""

    published: int = 0
    acked: int = 0
    refused_duplicates: int = 0
    replayed: int = 0
    errors: int = 0
    connected: bool = False


class Publisher:
    """The only writer of its stream."""

    def __init__(
        self,
        url: str,
        *,
        shard: int = 0,
        retention_s: int = 600,
        spool_max: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        on_ack: Callable[[Record, float], None] | None = None,
    ) -> None:
        self.stream = stream_name(shard)
        self.stats = PublisherStats()
        self.spool = Spool(spool_max)
        self._redis = aioredis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_timeout=5, socket_connect_timeout=2, redis_connect_func=self._opened
        )
        self._retention_s = retention_s
        self._clock, self._wall_clock, self._on_ack = clock, wall_clock, on_ack
        self._last_id = (0, 0)
        self._found: tuple[int, int] | None = None  # the stream's last id when it was first looked at
        self._recent: deque[Record] = deque(maxlen=REPLAY_MAX)  # acknowledged, oldest first
        self._wake = asyncio.Event()
        self._run_id: Any = None  # of the server that holds what was acknowledged
        self._server_run: Any = None  # of the server that answers now
        self._mute = False  # the server cannot say which run of it this is
        self._asking = False  # which run of it this is: only for that may a connection be opened
        self._trimmed = 0.0
        self._marks: deque[tuple[float, tuple[int, int]]] = deque()  # when, and which id was the last; by that is trimmed
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin writing; ids go on above what the stream already holds, if Redis answers. ConfigError where it refuses us:
        a service that began like that would look ready and never tell anybody a tag."""
        try:
            await self._meet_server()
            self._renumber(())
        except REFUSED as error:
            await self._redis.aclose()
            raise ConfigError(f"redis.url: Redis asks for another user or password ({error})") from None
        except (RedisError, OSError) as error:
            self._lost(error)
        self._task = asyncio.create_task(self._write_forever(), name="publisher")

    def publish(self, tag: Tag, arrived: float) -> Tag:
        """Queue a record; the same with its id and the time. Never blocks; `arrived` is the monotonic time at which its
        audio was complete."""
        wall = self._wall_clock()
        new = self._new_id(wall)
        full = replace(tag, event_id=_text(new), wall_time=round(wall, 3))
        self.spool.append(Record(new, tag.call_id, tag.kind, encode_tag(full), arrived))
        self.stats.published += 1
        self._wake.set()
        return full

    def _new_id(self, wall: float) -> tuple[int, int]:
        ms, sequence = int(wall * 1000), 0
        if ms <= self._last_id[0]:  # same millisecond, or the wall clock stepped back: ids rise all the same
            ms, sequence = self._last_id[0], self._last_id[1] + 1
        self._last_id = (ms, sequence)
        return self._last_id

    async def aclose(self, timeout_s: float = 5.0) -> None:
        """Write what is spooled, as far as Redis takes it within `timeout_s`, and stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            done, _ = await asyncio.wait([self._task], timeout=timeout_s)
            if not done:
                await end(self._task)
        if len(self.spool):
            log.warning("records not delivered to Redis", count=len(self.spool))
        await self._redis.aclose()

    async def _write_forever(self) -> None:
        while not (self._closing and not len(self.spool)):
            if not len(self.spool) and await self._woken():
                continue
            batch = self.spool.take(PIPELINE)
            try:
                await self._deliver(batch)
            except asyncio.CancelledError:  # whoever ends us counts what was not delivered
                self.spool.put_back(batch)
                raise
            except (RedisError, OSError) as error:
                self.spool.put_back(batch)
                self._lost(error)
                await asyncio.sleep(random.uniform(0.05, 0.25))

    async def _woken(self) -> bool:
        """Wait for something to do; False when nothing came for PROBE_S."""
        try:
            async with asyncio.timeout(PROBE_S):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def _deliver(self, batch: list[Record]) -> None:
        """Write the batch; an empty one asks whether Redis is there, since a quiet service must notice that as well."""
        if not self.stats.connected:
            unmet = self._found is None
            await self._meet_server()
            if unmet:
                self._renumber(batch)
            if self._replay_first(batch):
                return
        if batch:
            await self._write(batch)
        else:
            await self._redis.ping()

    async def _opened(self, connection: AbstractConnection) -> None:
        """Greet a server on a new connection. redis-py replaces one that was closed without a word, in the middle of a
        write: then the write fails here, before a restarted server gets it ahead of what that server has lost."""
        if not self._asking:
            raise RedisConnectionError("the connection was closed")
        await connection.on_connect()

    async def _meet_server(self) -> None:
        """Wait out a server that is loading its file, note which run of it this is, go on above its last id."""
        info = await self._info()
        while int(info.get("loading", 0)):
            await asyncio.sleep(0.05)
            info = await self._info()
        if self._found is None:
            newest = cast(list[tuple[bytes, Any]], await self._redis.xrevrange(self.stream, count=1))
            ms, _, sequence = newest[0][0].decode().partition("-") if newest else ("0", "-", "0")
            self._found = (int(ms), int(sequence))
            self._last_id = max(self._last_id, self._found)
            self._run_id = info.get("run_id")
        if not self.stats.connected:
            log.info("redis connected", version=info.get("redis_version"))
        self.stats.connected = True
        self._server_run = info.get("run_id")

    def _renumber(self, batch: Sequence[Record]) -> None:
        """New ids for what waits, where the stream has got beyond theirs: it would refuse them as it does duplicates."""
        waiting = [*batch, *self.spool]
        if not waiting or self._found is None or waiting[0].id > self._found:
            return
        for record in waiting:
            record.id = self._new_id(0.0)
            record.data = msgspec.json.encode({**msgspec.json.decode(record.data), "event_id": _text(record.id)})

    async def _info(self) -> dict[str, Any]:
        """What the server says of itself. fakeredis knows no INFO and hangs up when asked; it never restarts either."""
        self._asking = True
        try:
            if self._mute:
                await self._redis.ping()
                return {"redis_version": "unknown"}
            found: dict[str, Any] = await self._redis.info()
        except ResponseError as error:
            self._mute = "unknown command" in str(error)
            raise
        finally:
            self._asking = False
        return found

    def _replay_first(self, batch: list[Record]) -> bool:
        """If the server restarted, put what it may have lost in front of everything; True when it did."""
        if self._server_run == self._run_id:
            return False
        self._run_id = self._server_run
        # Counted back from the last acknowledgement: however long the outage was, it is what came before that is lost.
        horizon = self._recent[-1].acked - REPLAY_S if self._recent else 0.0
        again = [record for record in self._recent if record.acked >= horizon]
        self._recent.clear()
        self.stats.replayed += len(again)
        self.spool.put_back([*again, *batch])
        return True

    async def _write(self, batch: Sequence[Record]) -> None:
        # All or nothing: were one record refused for want of memory and the next taken, its id could never follow.
        pipeline = self._redis.pipeline(transaction=True)
        for record in batch:
            fields: dict[Any, Any] = {"call": record.call_id, "kind": record.kind, "data": record.data}
            pipeline.xadd(self.stream, fields, id=_text(record.id))
        now = self._clock()
        if now - self._trimmed > TRIM_EVERY_S:
            pipeline.xtrim(self.stream, minid=self._oldest_kept(now, batch[0].id, batch[-1].id), approximate=True)
            self._trimmed = now
        replies = await pipeline.execute(raise_on_error=False)
        self._settle(batch, replies[: len(batch)])

    def _oldest_kept(self, now: float, first: tuple[int, int], last: tuple[int, int]) -> str:
        """The id that was the last one `retention_s` ago: ids themselves do not tell where the wall clock was wrong for a
        while. Until we have run so long nobody else can say."""
        self._marks.append((now, last))
        while len(self._marks) > 1 and now - self._marks[1][0] >= self._retention_s:
            self._marks.popleft()
        began, oldest = self._marks[0]
        if now - began >= self._retention_s:
            return _text(oldest)
        return f"{max(0, first[0] - self._retention_s * 1000)}-0"

    def _settle(self, batch: Sequence[Record], replies: Sequence[Any]) -> None:
        now = self._clock()
        failure: Exception | None = None
        for record, reply in zip(batch, replies, strict=True):
            if isinstance(reply, ResponseError) and "equal or smaller" in str(reply):
                self.stats.refused_duplicates += 1
            elif isinstance(reply, Exception):
                failure = reply
                continue
            first, record.acked = not record.acked, now
            self._recent.append(record)
            if first:  # one that is offered again was counted before, and took no longer because Redis was away since
                self.stats.acked += 1
                if self._on_ack is not None:
                    self._on_ack(record, now)
        if failure is not None:
            # The ids that did arrive are refused as duplicates when the batch is offered again.
            raise failure if isinstance(failure, RedisError) else RedisConnectionError(str(failure))

    def _lost(self, error: Exception) -> None:
        self.stats.errors += 1
        if self.stats.connected or self.stats.errors == 1:
            log.warning("redis is away; tags are spooled", error=str(error), spooled=len(self.spool))
        self.stats.connected = False
