"""`vivavoce bench live`: the whole service under real RTP from a process of its own.

Three processes: a Redis, the service as a user would start it, and the load generator. What is reported is read from
outside: packets sent by the generator against packets that reached calls, the records in Redis against their own
sequence numbers, memory and processor time from the kernel. Only the latency (last packet of a chunk in, record
acknowledged by Redis) is the service's own histogram, since only it sees both ends on one clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from vivavoce import bench_audit
from vivavoce.bench_examine import keep_examining
from vivavoce.bench_redis import BenchRedis
from vivavoce.procfs import cpu_seconds, rss_kb
from vivavoce.samples import sample_speech

HELP = "live G.711 calls over real RTP: packet loss, latency, memory, tags lost"
LONGEST_S = 86_400
FIRST_WAVE = 1000  # calls opened before the load starts; the rest arrive while these are running
WAVE = 250
WAVE_EVERY_S = 5.0
CHUNK_PACKETS = 8  # a chunk dropped by an overloaded scorer is 160 ms of packets that were not heard
TOKEN = "bench"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=1000, metavar="N", help="concurrent calls offered (default 1000)")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="length of the load (default 60 s)")
    parser.add_argument("--max-calls", type=int, metavar="N", help="the service's limit (default: N of --calls)")
    parser.add_argument("--kill-redis", action="store_true", help="kill -9 Redis in mid-run and restart it 1.5 s later")
    parser.add_argument("--examine", type=float, default=0.0, metavar="SHARE", help="share of calls under a question at once")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    if args.calls < 1 or not 5 <= args.seconds <= LONGEST_S:  # nor a number that is none
        raise ValueError(f"--calls {args.calls} --seconds {args.seconds:g}: at least 1 call and 5 s, at most a day, are needed")
    if not 0 <= args.examine <= 1:
        raise ValueError(f"--examine {args.examine} is not between 0 and 1")
    plan = Plan(args.calls, args.seconds, args.max_calls or args.calls, args.kill_redis, args.examine)
    report = asyncio.run(measure(plan))
    print(json.dumps(report) if args.json else _table(report))
    return 0


@dataclass(frozen=True)
class Plan:
    calls: int
    seconds: float
    max_calls: int
    kill_redis: bool
    examine: float = 0.0


@dataclass
class Load:
    """What was offered: call ids that were accepted, how many were refused, what the generators sent."""

    accepted: list[str] = field(default_factory=list)
    refused: int = 0
    sent: int = 0
    unheard: int = 0  # packets of calls that the service had no time for
    generator_cpu: float = 0.0
    late_ticks: int = 0
    waves: list[asyncio.Task[dict[str, Any]]] = field(default_factory=list)


async def measure(plan: Plan) -> dict[str, Any]:
    """Run the plan and return the report; see the module's text for what is measured where."""
    with tempfile.TemporaryDirectory(prefix="vivavoce-bench-") as folder:
        redis = BenchRedis(Path(folder))
        await redis.start()
        try:
            async with _service(plan, redis.url, Path(folder)) as (pid, http):
                return await _measure_service(plan, redis, pid, http)
        finally:
            await redis.stop()


async def _measure_service(plan: Plan, redis: BenchRedis, pid: int, http: aiohttp.ClientSession) -> dict[str, Any]:
    load = Load()
    idle_kb = rss_kb(pid)
    await _open_wave(http, load, min(plan.calls, FIRST_WAVE), plan.seconds)
    killer = asyncio.create_task(redis.crash_at(plan.seconds / 2)) if plan.kill_redis else None
    started, cpu = time.monotonic(), cpu_seconds(pid)
    examining = asyncio.create_task(_examine(http, load, plan))
    await _later_waves(http, load, plan, started)
    results = await asyncio.gather(*load.waves)
    engine_cores = (cpu_seconds(pid) - cpu) / (time.monotonic() - started)
    if killer is not None:
        await killer
    for result in results:
        load.sent += result["sent"]
        load.generator_cpu += result["cpu_seconds"]
        load.late_ticks += result["late_ticks"]
    examined = await examining
    await asyncio.sleep(1.0)
    busy_kb = rss_kb(pid)
    received = await _hang_up(http, load)
    await asyncio.sleep(1.5)
    latency = bench_audit.latency(await (await http.get("/metrics")).text())
    audit = await bench_audit.audit(redis.url)
    accepted = max(1, len(load.accepted))
    return {
        "calls": plan.calls,
        "accepted": len(load.accepted),
        "refused": load.refused,
        "seconds": plan.seconds,
        "packets_sent": load.sent,
        "packet_loss": round(1 - received / load.sent, 6) if load.sent else 0.0,
        "of_it_unheard": round(load.unheard / load.sent, 6) if load.sent else 0.0,
        "p50_ms": latency.p50_ms,
        "p99_ms": latency.p99_ms,
        "tags_published": audit.records,
        "tags_lost": audit.lost,
        "tags_duplicated": audit.duplicated,
        "calls_without_end": accepted - audit.ended,
        "rss_per_call_kb": round((busy_kb - idle_kb) / accepted, 1),
        "engine_cores_used": round(engine_cores, 3),
        "calls_per_engine_core": round(accepted / engine_cores) if engine_cores else None,
        "generator_cores_used": round(load.generator_cpu / plan.seconds, 3),
        "generator_late_ticks": load.late_ticks,
        "redis_killed": plan.kill_redis,
        "examinations": dict(examined),
    }


async def _examine(http: aiohttp.ClientSession, load: Load, plan: Plan) -> Counter[str]:
    return await keep_examining(http, load.accepted, plan.examine, plan.seconds - 2.0) if plan.examine else Counter()


async def _later_waves(http: aiohttp.ClientSession, load: Load, plan: Plan, started: float) -> None:
    """Calls beyond the first wave arrive while that one is being scored, so that refusal is put to the test."""
    offered = min(plan.calls, FIRST_WAVE)
    while offered < plan.calls and (left := plan.seconds - (time.monotonic() - started)) > 2 * WAVE_EVERY_S:
        await asyncio.sleep(WAVE_EVERY_S)
        count = min(WAVE, plan.calls - offered)
        await _open_wave(http, load, count, left - WAVE_EVERY_S)
        offered += count


async def _open_wave(http: aiohttp.ClientSession, load: Load, count: int, seconds: float) -> None:
    gate = asyncio.Semaphore(16)

    async def one() -> tuple[str, int] | None:
        async with gate, http.post("/v1/calls", json={"codec": "PCMU", "caller": "bench"}) as answer:
            if answer.status == 503:
                load.refused += 1
                return None
            body = await answer.json()
            if answer.status != 201:
                raise ValueError(f"POST /v1/calls answered {answer.status}: {body}")
            load.accepted.append(body["call_id"])
            return body["legs"]["caller"]["host"], body["legs"]["caller"]["port"]

    targets = [t for t in await asyncio.gather(*(one() for _ in range(count))) if t is not None]
    if targets:
        load.waves.append(asyncio.create_task(_generate(targets, seconds)))


async def _generate(targets: list[tuple[str, int]], seconds: float) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".ulaw") as speech:
        speech.write(sample_speech())
        speech.flush()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vivavoce.loadgen",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        job = {"targets": targets, "speech": speech.name, "seconds": seconds}
        out, _ = await process.communicate(json.dumps(job).encode())
    if process.returncode:
        raise ValueError(f"the load generator ended with status {process.returncode}")
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


async def _hang_up(http: aiohttp.ClientSession, load: Load) -> int:
    """End every call; returns the packets that reached them in time to be heard."""
    gate = asyncio.Semaphore(16)

    async def one(call_id: str) -> int:
        async with gate:
            async with http.get(f"/v1/calls/{call_id}") as answer:
                media = (await answer.json())["media"]["caller"]
                load.unheard += int(media["unheard"])
            async with http.delete(f"/v1/calls/{call_id}"):
                return int(media["received"]) - int(media["late"]) - CHUNK_PACKETS * int(media["overload_dropped"])

    return sum(await asyncio.gather(*(one(call_id) for call_id in load.accepted)))


@asynccontextmanager
async def _service(plan: Plan, redis_url: str, folder: Path) -> AsyncIterator[tuple[int, aiohttp.ClientSession]]:
    log = open(folder / "service.log", "wb")  # noqa: SIM115 - lives as long as the service
    ready = folder / "ready"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vivavoce", "serve", "--ready-file", str(ready),
        "--set", "server.port=0", "--set", f"server.token={TOKEN}", "--set", f"redis.url={redis_url}",
        "--set", f"redis.state_dir={folder}", "--set", f"calls.max={plan.max_calls}",
        "--set", "server.rate_limit_per_s=100000", "--set", "rtp.timeout_s=3600",
        stdout=log, stderr=log, env={**os.environ, "VIVAVOCE_LOG_LEVEL": "warning"},
    )  # fmt: skip
    try:
        url = await _wait_ready(process, ready, folder / "service.log")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(url, headers=headers, timeout=aiohttp.ClientTimeout(60)) as http:
            yield process.pid, http
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()
        log.close()


async def _wait_ready(process: asyncio.subprocess.Process, ready: Path, log: Path) -> str:
    deadline = time.monotonic() + 30
    while not ready.exists():
        if process.returncode is not None or time.monotonic() > deadline:
            raise ValueError(f"the service did not start: {log.read_text()[-2000:]}")
        await asyncio.sleep(0.05)
    return ready.read_text().strip()


def _table(report: dict[str, Any]) -> str:
    width = max(len(name) for name in report)
    return "\n".join(f"{name.replace('_', ' '):{width}}  {value}" for name, value in report.items())
