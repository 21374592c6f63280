"""What goes wrong around the service: wrong settings, taken ports, a dying Redis, its own end."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.peers.redis import RealRedis
from tests.peers.service import ROOT, TOKEN, of_call, records, running, send_call, spawn, speech_of
from vivavoce.samples import SAMPLES

pytestmark = pytest.mark.peer
WEIGHTS = ROOT / "models" / "weights"


async def refusal(*settings: str) -> str:
    """What a service that will not start says; its exit status must be 2."""
    process = await spawn(*settings)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2, output.decode()
    return output.decode()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["server.prot=1"], ["server.prot", "server.port"]),
        (["server.port=70000"], ["server.port", "70000", "65535"]),
        (["tags.prior=2"], ["tags.prior", "2", "above 0", "below 1"]),
        (["server.host=0.0.0.0"], ["server.host", "token"]),
        (["model.path=pyproject.toml"], ["pyproject"]),
    ],
)
async def test_a_wrong_setting_is_one_sentence(settings: list[str], words: list[str]) -> None:
    said = await refusal(*settings)
    assert all(word in said for word in words), said
    assert "Traceback" not in said


async def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = await refusal(f"server.port={port}")
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "Traceback" not in said


async def test_a_second_service_on_the_same_port_ends_and_leaves_the_first_alone(tmp_path: Path, real_redis: RealRedis) -> None:
    async with running(tmp_path, f"redis.url={real_redis.url}") as first:
        port = first.url.rpartition(":")[2]
        said = await refusal(f"server.port={port}", f"redis.url={real_redis.url}", "redis.shard=1")
        assert f"cannot listen on 127.0.0.1:{port}" in said
        assert (await first.ask("GET", "/readyz"))["ready"] is True


async def test_a_terminal_that_is_held_holds_up_no_call_and_no_end(tmp_path: Path, real_redis: RealRedis) -> None:
    reading, writing = os.pipe()  # of which nobody reads, as with Ctrl-S or a log shipper that stalls
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    async with running(tmp_path, f"redis.url={real_redis.url}", "server.rate_limit_per_s=1000", output=writing) as service:
        for number in range(60):
            await service.ask("POST", "/v1/calls", 201, json={"call_id": f"held-{number}"})
            await service.ask("DELETE", f"/v1/calls/held-{number}")
        assert fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ) - len(os.read(reading, 1 << 16)) < 400, "it was full"
        service.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(service.process.wait(), 20) == 0
    os.close(reading)


@pytest.mark.parametrize(
    ("graph", "chunk", "words"),
    [
        ((WEIGHTS / "vivavoce-1.onnx").read_bytes(), 1000, ["125 ms is no whole number of 40 ms frames"]),
        (b"\x08\x07 no graph", 1280, ["not a model that ONNX Runtime can load"]),
    ],
    ids=["other chunks", "no model"],
)
async def test_a_model_that_does_not_fit_is_one_sentence(tmp_path: Path, graph: bytes, chunk: int, words: list[str]) -> None:
    info = json.loads((WEIGHTS / "vivavoce-1.json").read_bytes())
    (tmp_path / "other.json").write_text(json.dumps(info | {"chunk_samples": chunk}))
    (tmp_path / "other.onnx").write_bytes(graph)
    said = await refusal(f"model.path={tmp_path / 'other.onnx'}")
    assert len(said.strip().splitlines()) == 1
    assert all(word in said for word in [*words, "other.onnx"]), said


async def test_sigterm_gives_every_call_its_last_record_and_exits_cleanly(tmp_path: Path, real_redis: RealRedis) -> None:
    async with running(tmp_path, f"redis.url={real_redis.url}") as service:
        ticket = await service.ask("POST", "/v1/calls", 201, json={"call_id": "c", "legs": ["caller", "agent"]})
        legs = ticket["legs"].values()
        await asyncio.gather(*(send_call(leg, speech_of(SAMPLES[0].path, 2.0)) for leg in legs))
        status, output = await service.stop()
    assert status == 0, output
    assert not [line for line in output.splitlines() if TOKEN in line and not line.startswith("  ")], "a token in the log"
    for leg in ("caller", "agent"):
        told = of_call(await records(real_redis.url), "c", leg)
        assert (told[-1]["kind"], "drained" in told[-1]["reasons"]) == ("end", True)
        assert [r["seq"] for r in told] == list(range(len(told)))

async def test_who_follows_the_events_does_not_hold_up_the_end_and_sees_it(tmp_path: Path, real_redis: RealRedis) -> None:
    async with running(tmp_path, f"redis.url={real_redis.url}") as service:
        await service.ask("POST", "/v1/calls", 201, json={"call_id": "last"})
        async with service.client.get(service.url + "/v1/events") as events:
            began = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            told = (await events.content.read()).decode()
        await asyncio.wait_for(service.process.wait(), 20)
        assert time.monotonic() - began < 4  # it was 5.7 s, all of them waiting for this reader
    assert "event: end" in told
    assert "too slow" not in told


async def test_a_second_signal_ends_the_time_that_calls_were_given(tmp_path: Path, real_redis: RealRedis) -> None:
    async with running(tmp_path, f"redis.url={real_redis.url}", "calls.drain_s=300") as service:
        await service.ask("POST", "/v1/calls", 201, json={"call_id": "long"})
        service.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert service.process.returncode is None
        service.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(service.process.wait(), 20) == 0


async def test_redis_killed_in_mid_call_loses_and_repeats_nothing(tmp_path: Path, real_redis: RealRedis) -> None:
    async with running(tmp_path, f"redis.url={real_redis.url}", "tags.score_interval_s=0.1") as service:
        tickets = [await service.ask("POST", "/v1/calls", 201, json={"call_id": f"c{n}"}) for n in range(5)]
        speech = speech_of(SAMPLES[0].path, 6.0)
        calls = asyncio.gather(*(send_call(t["legs"]["caller"], speech) for t in tickets))
        await asyncio.sleep(2.5)
        await real_redis.kill()
        real_redis.lose_last(20_000)  # the file is synced once a second: the last half second was acknowledged and is gone
        await asyncio.sleep(1.0)
        async with asyncio.timeout(10):
            while (await service.ask("GET", "/readyz"))["redis_connected"]:
                await asyncio.sleep(0.1)
        await real_redis.start()
        await calls
        await asyncio.sleep(1.0)
        media = [(await service.ask("GET", f"/v1/calls/c{n}"))["media"]["caller"] for n in range(5)]
        assert {m["lost"] for m in media} == {0}
        await service.stop()
        found = await records(real_redis.url)
    for number in range(5):
        told = of_call(found, f"c{number}")
        assert [r["seq"] for r in told] == list(range(len(told)))
        assert len(told) > 15  # 37 chunks; of scores that come together on a busy machine one is told
        assert told[-1]["kind"] == "end"


async def test_two_calls_do_not_share_an_id_or_a_port(tmp_path: Path, real_redis: RealRedis) -> None:
    async with running(tmp_path, f"redis.url={real_redis.url}", "rtp.port_min=28410", "rtp.port_max=28412") as service:
        await service.ask("POST", "/v1/calls", 201, json={"call_id": "one"})
        error = (await service.ask("POST", "/v1/calls", 409, json={"call_id": "one"}))["error"]
        assert (error["field"], '"one" is running' in error["message"]) == ("call_id", True)
        error = (await service.ask("POST", "/v1/calls", 503, json={"call_id": "two"}))["error"]
        assert "no free UDP port left" in error["message"]
        error = (await service.ask("POST", "/v1/calls", 400, json={"codec": "G729"}))["error"]
        assert '"G729" is unknown' in error["message"]
        assert len((await service.ask("GET", "/v1/calls"))["calls"]) == 1
