"""A call from a real browser: WHIP, Opus over SRTP, the tag in Redis and on the operator's page."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly

from connectors.g711 import decode_mu_law
from tests.connectors.test_files import write_wav
from tests.peers.chromium import Page, chromium
from tests.peers.console_page import LIVE, text
from tests.peers.redis import RealRedis
from tests.peers.service import TOKEN, Service, of_call, records, running
from vivavoce.samples import SAMPLES, mu_law

pytestmark = [pytest.mark.peer, pytest.mark.timeout(400)]
SPEECH_S = 6.0  # of net speech after which the two must be told apart
VOICES = {"person-1": "human-likely", "person-2": "human-likely", "synthetic": "deepfake-likely"}  # bundled calls
WAIT_S = 75.0  # a browser on a busy machine sends less than it hears


def microphone(sample_name: str, folder: Path) -> Path:
    """A bundled call as the 48 kHz file that Chromium plays into its microphone."""
    sample = next(s for s in SAMPLES if s.name == sample_name)
    wide = resample_poly(decode_mu_law(mu_law(sample.path)).astype(float), 6, 1).clip(-32768, 32767)
    return write_wav(folder / f"{sample_name}.wav", [wide.astype(np.int16)], 48000)


async def call_in(service: Service, page: Page) -> str:
    """Press the button; the id of the call it makes."""
    await page.wait_for(LIVE)
    await page.press("c")
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        calls = [c for c in (await service.ask("GET", "/v1/calls"))["calls"] if c["source"] == "webrtc"]
        if calls and calls[0]["legs"]["caller"]["net_speech_s"] > 0:
            return str(calls[0]["call_id"])
        await asyncio.sleep(0.1)
    raise AssertionError(f"no call came: {await page.eval(text('#intake'))} {page.messages}")


async def heard(service: Service, call_id: str) -> dict[str, Any]:
    """The call's latest record once SPEECH_S of speech were heard."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        tag: dict[str, Any] = (await service.ask("GET", f"/v1/calls/{call_id}"))["legs"]["caller"]
        if tag["net_speech_s"] >= SPEECH_S:
            return tag
        await asyncio.sleep(0.1)
    raise AssertionError(f"only {tag['net_speech_s']} s of speech were heard")


async def browser_call(service: Service, folder: Path, name: str) -> tuple[str, dict[str, Any], str]:
    """A whole call with a bundled voice as the microphone: its id, its latest record, the row on the page."""
    async with chromium(fake_wav=microphone(name, folder)) as browser:
        page = await browser.open(f"{service.url}/#token={TOKEN}")
        call_id = await call_in(service, page)
        tag = await heard(service, call_id)
        row = await page.eval(text(f"#rows .row[data-id='{call_id}']") + f" || {text('#rows')}")
        await page.press("c")  # leads to the hang-up button
        await page.press("Enter")
        await page.wait_for(f"{text('.strip.call')}.includes('You hung up')")
        return call_id, tag, str(row)


async def test_voices_in_a_browser_are_tagged_within_six_seconds_of_speech(tmp_path: Path, real_redis: RealRedis) -> None:
    async with running(tmp_path, f"redis.url={real_redis.url}") as service:
        found = {name: await browser_call(service, tmp_path, name) for name in VOICES}
        await asyncio.sleep(0.5)
        told = {name: of_call(await records(real_redis.url), call_id) for name, (call_id, _, _) in found.items()}
    for name, (_, tag, row) in found.items():
        assert tag["source"] == "webrtc"
        assert tag["loss"] < 0.03
        assert tag["text"].lower() in row.lower()
        assert {r["source"] for r in told[name]} == {"webrtc"}
        speech = [r["net_speech_s"] for r in told[name]]  # what the model hears no voice in is taken off when its score comes
        assert all(later > earlier - 0.5 for earlier, later in pairwise(speech))
        assert len({r["net_speech_s"] for r in told[name]}) >= 5, "the speech heard did not grow from record to record"
        assert [r["seq"] for r in told[name]] == list(range(len(told[name])))
        assert told[name][-1]["kind"] == "end"
    tags = {name: tag["tag"] for name, (_, tag, _) in found.items()}
    assert tags["synthetic"] == VOICES["synthetic"]
    assert tags["person-1"] == VOICES["person-1"]
    assert tags["person-2"] in ("human-likely", "uncertain"), "her evidence is thin, but nobody may accuse her"
