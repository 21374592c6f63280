"""`vivavoce tags`: follow the stream of tags in Redis."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from typing import Any

import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from engine.config import check_redis_url, load_settings
from engine.errors import StreamError
from engine.hub import Hub
from engine.streams import REFUSED, stream_name

HELP = "follow the stream of tags in Redis"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Kinds of records: tag (a change of tag), exam (a step of an examination), end, and with --scores score.\n"
        "Ends with Ctrl-C. A running service prints the URL of its embedded Redis when it starts."
    )
    add = parser.add_argument
    add("--redis", metavar="URL", help="redis:// URL (default: the setting redis.url, from REDIS_URL)")
    add("--shard", type=int, metavar="N", help="stream vivavoce:tags:N (default: the setting redis.shard, 0)")
    add("--from", dest="start", metavar="ID", help="begin after this event id; 0-0 for all (default: new ones only)")
    add("--call", metavar="ID", help="one call only")
    add("--scores", action="store_true", help="score updates too, not only changes of tag, steps of examinations and ends")
    add("--count", type=int, metavar="N", help="stop after N records")
    add("--json", action="store_true", help="one JSON record a line")


def run(args: argparse.Namespace) -> int:
    settings = load_settings(None, os.environ).redis
    args.shard = settings.shard if args.shard is None else args.shard
    if args.shard < 0 or (args.count is not None and args.count < 1):
        raise ValueError(f"--shard {args.shard} --count {args.count}: a shard is 0 or more, a count 1 or more")
    url = args.redis or settings.url
    if not url:
        raise StreamError("which Redis? Set REDIS_URL, as in the line that the service prints, or give --redis redis://HOST:PORT/0")
    check_redis_url(url, "--redis" if args.redis else "redis.url")
    return asyncio.run(_follow(url, args))


async def _follow(url: str, args: argparse.Namespace) -> int:
    await _ask_in(url, "--redis" if args.redis else "redis.url (from REDIS_URL)", stream_name(args.shard))
    hub = Hub(url, [stream_name(args.shard)])
    await hub.start()
    shown = 0
    try:
        async for event in hub.subscribe(args.start, call_id=args.call):
            if event.event in ("degraded", "restored", "gap"):
                print(f"-- {event.event} {event.data.decode()}", file=sys.stderr, flush=True)
                continue
            if event.event == "score" and not args.scores:
                continue
            print(event.data.decode() if args.json else _line(event.data), flush=True)
            shown += 1
            if shown == args.count:
                break
    finally:
        await hub.aclose()
    return 0


async def _ask_in(url: str, named: str, stream: str) -> None:
    """StreamError where Redis refuses us. One that is away is waited for: it may come back."""
    client = aioredis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=5, socket_connect_timeout=2)
    try:
        await client.xrevrange(stream, count=1)
    except REFUSED as error:
        raise StreamError(f"{named}: Redis asks for another user or password ({error})") from None
    except (RedisError, OSError):
        pass
    finally:
        await client.aclose()


def _line(data: bytes) -> str:
    record = json.loads(data)
    clock = time.strftime("%H:%M:%S", time.localtime(record["wall_time"]))
    llr = "" if record["llr"] is None else f"LLR {record['llr']:+.2f}"
    what = f"{record['text']} (ended)" if record["kind"] == "end" else record["text"]
    if record["kind"] == "exam":
        return shown(f"{clock}  {record['call_id']:16.16} {record['leg']:6} {_step(record['examination'])}".rstrip())
    caller = record["pii"].get("caller", "")
    reasons = ", ".join(record["reasons"])
    return shown(
        f"{clock}  {record['call_id']:16.16} {record['leg']:6} {what:24} {llr:10} "
        f"{record['net_speech_s']:6.1f} s speech  {caller}  {reasons}".rstrip()
    )


def shown(line: str) -> str:
    """One line, whatever a caller calls himself: line ends and a terminal's commands are shown as what they are."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def _step(examination: dict[str, Any]) -> str:
    """Where an examination stands, with which challenge, who wanted it so and why."""
    told = [examination.get(key) for key in ("state", "challenge", "by", "who", "why")]
    return "examination: " + "  ".join(str(part) for part in (*told, ", ".join(examination.get("reasons", ()))) if part)
