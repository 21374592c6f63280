"""A call id that is used again: the call on the line is what the operator sees, and the old one stays where it is."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.peers.chromium import Page
from tests.peers.console_page import ROWS, text
from tests.peers.console_service import ConsoleService, make_tag
from tests.peers.test_console_connection import reduced, tags

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

PLACES = "s => [[...s.calls.values()], s.ended].map(calls => calls.map(call => call.legs.caller.tag.tag).join())"
SERIES = "s => s.calls.get('a').legs.caller.series.map(point => point.llr)"


def call(verdict: str, first: int, count: int, ended: bool = False, **fields: Any) -> list[dict[str, Any]]:
    """The records of a call, from its `first` on."""
    numbers = range(first, first + count)
    kinds = ["tag", *["score"] * (count - 1)]
    made = [make_tag("a", verdict, number, kind=kind, **fields) for number, kind in zip(numbers, kinds, strict=True)]
    return [*made, make_tag("a", verdict, first + count, kind="end", **fields)] if ended else made


def listed(tag: dict[str, Any] | None, started: float, at: float = 1000.0) -> dict[str, Any]:
    """The list of calls; its tags have no ids and no times."""
    tags_ = [tag | {"event_id": "", "wall_time": 0.0}] if tag else []
    return {
        "type": "snapshot", "askedAt": at, "at": at, "skew": 0, "calls": [{"call_id": "a", "started": started, "tags": tags_}],
    }  # fmt: skip


async def test_a_new_call_under_an_old_id_is_live_and_announced(page: Page, service: ConsoleService) -> None:
    for record in call("human-likely", 0, 20, ended=True):
        service.send(record["kind"], record)
    await page.wait_for("document.querySelector('#ended [data-id=a]')")
    for record in call("deepfake-likely", 0, 5):
        service.send(record["kind"], record)
    await page.wait_for(f"{ROWS} === 'a' && document.querySelector('#rows .row').dataset.verdict === 'deepfake-likely'")
    assert await page.eval("document.querySelectorAll('#ended .row').length") == 0
    assert "Deepfake-likely" in await page.eval(text("#alert"))


async def test_a_new_call_has_nothing_of_the_old_one(page: Page) -> None:
    old, agent = call("human-likely", 0, 9, ended=True, llr=3.0), make_tag("a", "human-likely", 4, leg="agent", kind="end")
    new = call("deepfake-likely", 0, 2, llr=-3.0)
    assert await reduced(page, tags(*old, agent), tags(*new), then=PLACES) == ["deepfake-likely", ""]
    assert await reduced(page, tags(*old, agent), tags(*new), then="s => Object.keys(s.calls.get('a').legs)") == ["caller"]
    assert await reduced(page, tags(*old), tags(*new), then=SERIES) == [-3.0, -3.0]
    assert await reduced(page, tags(*old), tags(*new[1:]), then=SERIES) == [-3.0], "its first record may be missed"


async def test_late_and_repeated_records_bring_no_ended_call_back(page: Page) -> None:
    old = call("human-likely", 0, 9, ended=True)
    assert await reduced(page, tags(*old), tags(*old), tags(*reversed(old)), then=PLACES) == ["", "human-likely"]
    new = call("deepfake-likely", 0, 3)
    agent = make_tag("a", "human-likely", 30, leg="agent") | {"event_id": old[-1]["event_id"]}
    mixed = tags(*old), tags(*new), tags(*old, agent)
    assert await reduced(page, *mixed, then=PLACES) == ["deepfake-likely", ""]
    assert await reduced(page, *mixed, then="s => Object.keys(s.calls.get('a').legs)") == ["caller"]
    new_is_over = tags(*old), tags(*new), tags(make_tag("a", "deepfake-likely", 3, kind="end")), tags(*old)
    assert await reduced(page, *new_is_over, then=PLACES) == ["", "deepfake-likely"]


async def test_after_a_restart_of_the_service_a_call_begins_again(page: Page) -> None:
    """The old one had no end that anybody was told of."""
    old, new = call("human-likely", 0, 30, llr=3.0), call("deepfake-likely", 0, 3, llr=-3.0)
    assert await reduced(page, tags(*old), tags(*new), then=PLACES) == ["deepfake-likely", ""]
    assert await reduced(page, tags(*old), tags(*new), then=SERIES) == [-3.0] * 3


async def test_records_without_ids_go_by_their_time(page: Page) -> None:
    old = [tag | {"event_id": "", "wall_time": 100.0 + tag["seq"]} for tag in call("human-likely", 0, 9, ended=True)]
    new = [tag | {"event_id": "", "wall_time": 200.0 + tag["seq"]} for tag in call("deepfake-likely", 0, 2)]
    assert await reduced(page, tags(*old), tags(*new), tags(*old), then=PLACES) == ["deepfake-likely", ""]


async def test_the_list_tells_of_a_new_call_too(page: Page) -> None:
    began = time.time()
    old = call("human-likely", 0, 30, ended=True, wall_time=began - 5)
    now = make_tag("a", "deepfake-likely", 9)
    assert await reduced(page, tags(*old), listed(now, began), then=PLACES) == ["deepfake-likely", ""]
    live = tags(*old[:-1])
    assert await reduced(page, live, listed(now, began), then=PLACES) == ["deepfake-likely", ""]
    assert await reduced(page, live, listed(now, began), tags(*old), then=PLACES) == ["deepfake-likely", ""], "late ones"
    before = listed(make_tag("a", "human-likely", 30), began - 60)
    assert await reduced(page, before, listed(now, began), then=PLACES) == ["deepfake-likely", ""]
    assert await reduced(page, before, listed(now, began), before, then=PLACES) == ["deepfake-likely", ""], "an old list"
    places = "s => [s.calls.size, s.ended.length, Object.keys(s.calls.get('a').legs).length]"
    assert await reduced(page, tags(*old), listed(None, began), then=places) == [1, 0, 0], "nothing heard of it yet"


async def test_the_list_of_the_same_call_changes_nothing(page: Page) -> None:
    began = time.time() - 60
    records = call("uncertain", 0, 30, llr=1.0)
    again = listed(records[-1], began), listed(records[-1], began)
    assert len(await reduced(page, tags(*records), *again, then=SERIES)) == 30
    over = tags(*records, make_tag("a", "uncertain", 30, kind="end"))
    assert await reduced(page, over, *again, then=PLACES) == ["", "uncertain"], "a list from before the end"


async def test_a_new_call_is_looked_at_again_in_the_open_detail(page: Page, service: ConsoleService) -> None:
    for record in call("human-likely", 0, 9):
        service.send(record["kind"], record)
    await page.wait_for("document.querySelector('#rows .row')")
    await page.press("j")
    await page.press("Enter")
    await looks(service, 1)
    for record in call("deepfake-likely", 0, 2):
        service.send(record["kind"], record)
    await looks(service, 2)
    assert "Deepfake-likely" in await page.eval(text("#detail .verdict"))


async def looks(service: ConsoleService, count: int) -> None:
    async with asyncio.timeout(5):
        while len(service.looked) < count:
            await asyncio.sleep(0.02)
    assert service.looked == ["a"] * count
