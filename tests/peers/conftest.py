"""One browser per test file, one stand-in service and one open console per test."""

from __future__ import annotations

import math
import wave
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from tests.peers.chromium import Browser, Page, chromium
from tests.peers.console_page import THRESHOLDS, complaints, open_console
from tests.peers.console_service import ConsoleService, console_service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    wav = tmp_path_factory.mktemp("microphone") / "tone.wav"
    seconds = np.arange(48_000) / 48_000
    with wave.open(str(wav), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes((9_000 * np.sin(2 * math.pi * 300 * seconds)).astype("<i2").tobytes())
    async with chromium(fake_wav=wav) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def service(browser: Browser) -> AsyncIterator[ConsoleService]:
    async with console_service(thresholds=THRESHOLDS) as running:
        yield running
        await browser.close_pages()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, service: ConsoleService) -> AsyncIterator[Page]:
    opened = await open_console(browser, service)
    yield opened
    assert not complaints(opened), "the page threw, or broke its content security policy"
