"""Packets in, tags out: the whole service with real RTP and a real Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from connectors.documents import asyncapi, openapi
from connectors.g711 import decode_mu_law
from tests.connectors.held_up import HeldUp
from tests.connectors.test_documents import validator
from tests.connectors.test_files import write_wav
from tests.peers.redis import RealRedis
from tests.peers.service import Service, of_call, records, running, send_call, speech_of
from vivavoce import cli
from vivavoce.samples import SAMPLES

pytestmark = pytest.mark.peer
SECONDS = 7.0


@pytest_asyncio.fixture
async def service(tmp_path: Path, real_redis: RealRedis) -> AsyncIterator[Service]:
    async with running(tmp_path, f"redis.url={real_redis.url}", "rtp.timeout_s=1.5", "calls.no_audio_s=0.5") as started:
        yield started


async def collect_events(service: Service, into: list[dict[str, Any]]) -> None:
    """The records of /v1/events from the first on, until cancelled."""
    async with service.client.get(service.url + "/v1/events", params={"last_event_id": "0-0"}) as response:
        kind = ""
        async for line in response.content:
            name, _, value = line.decode().strip().partition(": ")
            kind = value if name == "event" else kind
            if name == "data" and kind in ("tag", "score", "exam", "end"):
                into.append(json.loads(value))


def screened(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert cli.main(["screen", "--json", str(path)]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)[0]
    return report


async def test_calls_over_rtp_are_tagged_in_redis_and_in_the_feed_as_screen_tags_them(
    service: Service, real_redis: RealRedis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed: list[dict[str, Any]] = []
    reader = asyncio.create_task(collect_events(service, feed))
    sounds = {sample.name: speech_of(sample.path, SECONDS) for sample in SAMPLES}
    tickets = {
        name: await service.ask("POST", "/v1/calls", 201, json={"call_id": name, "agent": "Ada", "caller": "+1"})
        for name in sounds
    }
    async with HeldUp() as held:
        await asyncio.gather(*(send_call(tickets[name]["legs"]["caller"], speech) for name, speech in sounds.items()))
        await asyncio.sleep(0.3)
    listing = await service.ask("GET", "/v1/calls")
    validator(openapi(), "Calls").validate(listing)
    assert {call["call_id"] for call in listing["calls"]} == set(sounds)
    for name in sounds:
        await service.ask("DELETE", f"/v1/calls/{name}")
    await asyncio.sleep(0.3)
    reader.cancel()
    found = await records(real_redis.url)
    for name, speech in sounds.items():
        told = of_call(found, name)
        check_story(told)
        assert of_call(feed, name) == [{k: v for k, v in r.items() if k != "_id"} for r in told]
        assert told[-1]["kind"] == "end"
        assert "closed" in told[-1]["reasons"]
        assert told[0]["metadata"] == {"agent": "Ada"}
        assert told[0]["pii"] == {"caller": "+1"}
        if held.longest < 0.1:  # else the scores come after later audio, and say so at other moments
            check_same_as_screen(told, speech, tmp_path / f"{name}.wav", capsys)


def check_story(told: list[dict[str, Any]]) -> None:
    """Every record fits its document, none is missing, ids rise, sums grow."""
    for record in told:
        validator(asyncapi(), "Tag").validate({k: v for k, v in record.items() if k != "_id"})
        assert record["event_id"] == record["_id"]
    assert [r["seq"] for r in told] == list(range(len(told)))
    ids = [tuple(map(int, r["_id"].split("-"))) for r in told]
    assert ids == sorted(set(ids))
    for name in ("audio_s", "media_time_s"):
        assert [r[name] for r in told] == sorted(r[name] for r in told), name
    speech = [r["net_speech_s"] for r in told]  # what the model hears no voice in is taken off when its score comes
    assert all(later > earlier - 0.5 for earlier, later in pairwise(speech))
    assert [r["kind"] for r in told].count("end") == 1


def check_same_as_screen(told: list[dict[str, Any]], speech: bytes, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The live scores are the recording's, digit by digit, and so is every verdict on the way."""
    report = screened(write_wav(path, [decode_mu_law(speech)], 8000), capsys)
    recorded = {p["media_time_s"]: p for p in report["timeline"] if p["llr"] is not None}
    live = [r for r in told if r["llr"] is not None and r["kind"] in ("tag", "score")]
    assert len(live) >= 5
    both = [record for record in live if record["media_time_s"] in recorded]  # a busy machine tells at other moments, too
    assert both
    for record in both:
        assert record["llr"] == recorded[record["media_time_s"]]["llr"]
        assert record["tag"] == recorded[record["media_time_s"]]["tag"]
        assert record["net_speech_s"] == recorded[record["media_time_s"]]["net_speech_s"]
    assert told[-1]["tag"] == report["tag"]


async def test_rtp_that_stops_is_unknown_and_then_over(service: Service, real_redis: RealRedis) -> None:
    ticket = await service.ask("POST", "/v1/calls", 201, json={"call_id": "stopped"})
    await send_call(ticket["legs"]["caller"], speech_of(SAMPLES[0].path, 3.0))
    await asyncio.sleep(2.5)
    await service.ask("GET", "/v1/calls/stopped", 404)
    told = of_call(await records(real_redis.url), "stopped")
    check_story(told)
    assert ("unknown", ["no-audio"]) in [(r["tag"], r["reasons"][:1]) for r in told]
    assert (told[-1]["kind"], "rtp-timeout" in told[-1]["reasons"]) == ("end", True)


async def told_until(url: str, call_id: str, media_time_s: float) -> list[dict[str, Any]]:
    """The records of a call once they have come so far; a busy machine scores late."""
    async with asyncio.timeout(60):
        while not (told := of_call(await records(url), call_id)) or told[-1]["media_time_s"] < media_time_s:
            await asyncio.sleep(0.05)
    return told


async def test_lost_packets_are_counted_and_accuse_nobody(service: Service, real_redis: RealRedis) -> None:
    people = [sample for sample in SAMPLES if not sample.synthetic]
    tickets = [await service.ask("POST", "/v1/calls", 201, json={"call_id": s.name}) for s in people]
    await asyncio.gather(
        *(
            send_call(t["legs"]["caller"], speech_of(s.path, 10.0), drop_every=14)
            for t, s in zip(tickets, people, strict=True)
        )
    )
    for sample in people:
        told = await told_until(real_redis.url, sample.name, 9.0)
        assert 0.05 < told[-1]["loss"] < 0.1
        assert any(record["lossy"] and "lossy-audio" in record["reasons"] for record in told)
        assert "deepfake-likely" not in {r["tag"] for r in told}
