"""The console as the tests use it: opening it, reading it, putting calls on it."""

from __future__ import annotations

import json

from tests.peers.chromium import Browser, Page
from tests.peers.console_service import ConsoleService

THRESHOLDS = {"deepfake_llr": -2.0, "human_llr": 2.0}
LIVE = "document.querySelector('#link').dataset.link === 'live'"
ROWS = "[...document.querySelectorAll('#rows .row')].map(row => row.dataset.id).join()"
FOCUSED = "document.activeElement.dataset.id ?? document.activeElement.id"


async def open_console(browser: Browser, service: ConsoleService, path: str = "/", **size: int) -> Page:
    page = await browser.open(service.url + path, **size)
    await page.wait_for(LIVE)
    await page.wait_for("window.performance.getEntriesByType('resource').some(e => e.name.endsWith('/v1/calls'))")
    return page


def complaints(page: Page) -> list[str]:
    return [said for said in page.messages if said.startswith("thrown") or "Content Security Policy" in said]


def text(selector: str) -> str:
    return f"(document.querySelector({json.dumps(selector)})?.innerText ?? '')"


async def show_calls(page: Page, service: ConsoleService, **verdicts: str) -> None:
    for call_id, verdict in verdicts.items():
        service.tag(call_id, verdict, llr=-3.0 if verdict.startswith("deep") else 0.5, probability=0.93)
    await page.wait_for(f"document.querySelectorAll('#rows .row').length >= {len(verdicts)}")
