"""The console's connection: the list at load, resuming, refusals, the token; and its state, alone."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.peers.chromium import Browser, Page
from tests.peers.console_page import LIVE, ROWS, open_console, text
from tests.peers.console_service import ConsoleService, make_tag

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]


# the connection


async def test_list_at_load_then_events(browser: Browser, service: ConsoleService) -> None:
    tag = make_tag("early", "uncertain", 7, llr=0.4, probability=0.4)
    service.calls = [
        {
            "call_id": "early",
            "started": time.time() - 90,
            "pii": {"caller": "Eve"},
            "metadata": {},
            "legs": {"caller": tag},
        }
    ]
    page = await open_console(browser, service)
    row = await page.wait_for(text("#rows .row"))
    assert "Eve" in row
    assert "1:3" in row
    assert await page.eval("document.querySelector('#announce').innerText") == "", "what was so before is no change"


async def test_stream_resumes_where_it_broke(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain", 0)
    await page.wait_for(f"{ROWS} === 'a'")
    service.calls = [{"call_id": "a", "legs": {"caller": make_tag("a", "uncertain", 0)}}]
    service.drop_clients()
    service.tag("a", "deepfake-likely", 1)
    await page.wait_for("document.querySelector('#rows .row')?.dataset.verdict === 'deepfake-likely'")
    await page.wait_for(LIVE)
    assert service.resumed == [None, "1"]


async def test_page_opens_the_stream_again_after_a_refusal(browser: Browser, service: ConsoleService) -> None:
    service.unavailable = 1  # an answer that is no stream: the browser itself would never ask again
    page = await open_console(browser, service)
    service.tag("a", "uncertain")
    await page.wait_for(f"{ROWS} === 'a'")


async def test_where_no_socket_comes_through_the_page_follows_events(browser: Browser, service: ConsoleService) -> None:
    service.sockets = False
    page = await open_console(browser, service)
    service.tag("a", "uncertain", 0)
    await page.wait_for(f"{ROWS} === 'a'")
    service.calls = [{"call_id": "a", "legs": {"caller": make_tag("a", "uncertain", 0)}}]
    service.drop_clients()
    service.tag("a", "deepfake-likely", 1)
    await page.wait_for("document.querySelector('#rows .row')?.dataset.verdict === 'deepfake-likely'")
    assert service.over == ["events", "events"]
    assert service.resumed == [None, "1"]


async def test_as_many_pages_are_open_as_an_operator_likes_and_keys_still_work(page: Page, service: ConsoleService) -> None:
    """A browser keeps six HTTP connections to a host, for all its pages."""
    await page.eval("""import('/console/stream.js').then(stream => {
        const [onTag, onLost, onDegraded, onGap, onRefused] = Array(5).fill(() => {});
        window.opened = 0;
        const onOpen = () => { opened += 1; };
        for (let n = 0; n < 8; n += 1) stream.followEvents({onTag, onOpen, onLost, onDegraded, onGap, onRefused});
    })""")
    await page.wait_for("opened === 8")
    asked = "fetch('v1/calls', {signal: AbortSignal.timeout(3000)}).then(answer => answer.status)"
    assert await page.eval(asked) == 200
    assert set(service.over) == {"socket"}


async def test_a_link_that_is_pasted_into_an_open_page_opens_it_and_leaves_the_address(
    browser: Browser, service: ConsoleService
) -> None:
    service.token = "right"
    page = await browser.open(service.url + "/")
    await page.wait_for("document.querySelector('#token-dialog').open")
    await page.eval("location.hash = '#token=right'")
    await page.wait_for(f"{LIVE} && !document.querySelector('#token-dialog').open")
    assert "right" not in await page.eval("location.href")


async def test_a_page_that_is_loaded_again_shows_the_call_it_showed(browser: Browser, service: ConsoleService) -> None:
    page = await open_console(browser, service)
    service.tag("a/1 &", "uncertain", 0)
    service.calls = [{"call_id": "a/1 &", "legs": {"caller": make_tag("a/1 &", "uncertain", 0)}}]
    await page.wait_for(f"{ROWS} === 'a/1 &'")
    await page.click("#rows .row")
    await page.wait_for(f"{text('.detail .mono')} === 'a/1 &'")
    again = await open_console(browser, service, await page.eval("location.pathname + location.hash"))
    await again.wait_for(f"{text('.detail .mono')} === 'a/1 &'")
    await page.press("Escape")
    assert await page.eval("location.hash") == ""


async def test_calls_that_ended_unseen_leave_the_live_list(page: Page, service: ConsoleService) -> None:
    service.tag("a", "human-likely")
    await page.wait_for(f"{ROWS} === 'a'")
    service.send("gap", {})  # the service's list, empty here, is asked for again
    assert "missed the end" in await page.wait_for(text("#ended .row"))
    assert await page.eval("document.querySelectorAll('#rows .row').length") == 0


async def test_token_is_asked_for_and_a_wrong_one_refused(browser: Browser, service: ConsoleService) -> None:
    service.token = "right"
    page = await browser.open(service.url + "/")
    await page.wait_for("document.querySelector('#token-dialog').open && document.activeElement.id === 'token'")
    await page.type("wrong")
    await page.press("Enter")
    assert "not the service's token" in await page.wait_for(text("#token-error"))
    await page.eval("document.querySelector('#token').select()")
    await page.type("right")
    await page.press("Enter")
    await page.wait_for(f"{LIVE} && !document.querySelector('#token-dialog').open")


async def test_token_in_the_link_opens_the_page_and_leaves_the_address(
    browser: Browser, service: ConsoleService
) -> None:
    service.token = "a+b/c="
    page = await browser.open(service.url + "/#token=a%2Bb%2Fc%3D")
    await page.wait_for(LIVE)
    assert await page.eval("location.href") == service.url + "/"
    assert await page.eval("document.cookie") == "", "the cookie is out of reach of scripts"


# the state alone, as the page loads it


async def reduced(page: Page, *actions: dict[str, Any], then: str) -> Any:
    """The value of `then`, a function of the state after `actions`, in the page's own modules."""
    return await page.eval(
        "import('/console/state.js').then(({initialState, reduce, ...rest}) =>"
        f" ({then})({json.dumps(actions)}.reduce(reduce, initialState()), rest))"
    )


def tags(*listed: dict[str, Any], at: float = 1000.0) -> dict[str, Any]:
    return {"type": "events", "at": at, "tags": list(listed)}


async def test_score_line_of_a_long_call_keeps_its_whole_length(page: Page) -> None:
    scores = [make_tag("a", "human-likely", second, kind="score", llr=1.0) for second in range(5000)]
    seen = await reduced(page, tags(*scores), then="s => s.calls.get('a').legs.caller.series.map(point => point.t)")
    assert len(seen) <= 600
    assert (seen[0], seen[-1]) == (0, 4999)
    assert seen == sorted(seen)


async def test_a_call_is_live_until_its_last_leg_ends(page: Page) -> None:
    both = tags(make_tag("a", "uncertain"), make_tag("a", "uncertain", leg="agent"))
    first = tags(make_tag("a", "uncertain", 1, kind="end"))
    last = tags(make_tag("a", "uncertain", 1, kind="end", leg="agent"))
    places = "s => [s.calls.size, s.ended.length]"
    assert await reduced(page, both, first, then=places) == [1, 0]
    assert await reduced(page, both, first, last, then=places) == [0, 1]
    assert await reduced(page, both, first, last, last, first, then=places) == [0, 1]


async def test_a_clock_that_is_off_makes_no_tag_stale_and_none_fresh(page: Page) -> None:
    listed = {"type": "snapshot", "calls": [], "askedAt": 1000, "at": 1000, "skew": 300.0}
    written = make_tag("a", "uncertain") | {"wall_time": 1300.0}
    stale = "(s, {isStale}) => [1009, 1011].map(now => isStale(s.calls.get('a').legs.caller, now))"
    assert await reduced(page, listed, tags(written), then=stale) == [False, True]


async def test_an_answer_from_before_a_newer_event_is_not_shown(page: Page) -> None:
    """A look at the examination is answered late: by then an event has told how it ended."""
    told = json.dumps({"state": "over"}, separators=(",", ":"))
    over = tags(make_tag("a", "uncertain", examination={"state": "over"}))
    old = {"type": "examination", "id": "a", "leg": "caller", "record": {"state": "answering"}, "at": 1001.0}
    shown = "s => s.calls.get('a').legs.caller.exam.record.state"
    assert await reduced(page, over, {**old, "told": ""}, then=shown) == "over"
    assert await reduced(page, over, {**old, "told": told}, then=shown) == "answering"
