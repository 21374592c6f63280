"""The console in a real browser: rows, their order, changes of tag, time."""

from __future__ import annotations

import time

import pytest

from tests.peers.chromium import Page
from tests.peers.console_page import FOCUSED, LIVE, ROWS, show_calls, text
from tests.peers.console_service import ConsoleService

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]


# what a row says


async def test_row_shows_every_field_of_a_tag(page: Page, service: ConsoleService) -> None:
    who = {"metadata": {"agent": "Nadia", "queue": "Payments"}, "pii": {"caller": "+44 20 7946 0832"}}
    service.tag(
        "a", "deepfake-likely", 3, text="Deepfake-likely", llr=-2.6, probability=0.93, net_speech_s=12.4, loss=0.062,
        lossy=True, media_time_s=65.0, **who,
    )  # fmt: skip
    row = await page.wait_for(text("#rows .row"))
    for shown in (
        "Deepfake-likely",
        "93 %",
        "LLR −2.6",
        "+44 20 7946 0832",
        "Nadia",
        "Payments",
        "12 s",
        "6.2 %",
        "1:05",
        "RTP",
    ):
        assert shown in row
    assert await page.eval("document.querySelector('#rows .row .pill svg path') !== null"), "a shape beside the word"
    assert await page.eval("document.querySelectorAll('#rows .spark .band').length") == 2
    assert "▲ 1 Deepfake-likely" in await page.eval("document.title")


async def test_every_verdict_has_a_word_a_colour_and_a_shape_of_its_own(page: Page, service: ConsoleService) -> None:
    verdicts = ["deepfake-likely", "human-likely", "uncertain", "listening", "no-speech", "unknown"]
    await show_calls(page, service, **{f"c{index}": verdict for index, verdict in enumerate(verdicts)})
    for part in ("innerText", "querySelector('svg').innerHTML"):
        shown = await page.eval(f"[...document.querySelectorAll('#rows .pill')].map(pill => pill.{part})")
        assert len(set(shown)) == len(verdicts)


async def test_caller_may_be_absent(page: Page, service: ConsoleService) -> None:
    service.tag("nobody-1", "listening")
    assert "Caller not given" in await page.wait_for(text("#rows .row"))


async def test_text_from_a_caller_stays_text(page: Page, service: ConsoleService) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    service.tag(
        evil,
        "uncertain",
        text=evil,
        metadata={"agent": evil, "queue": evil},
        pii={"caller": evil},
        reasons=[evil],
        model=evil,
    )
    await page.wait_for("document.querySelector('#rows .row')")
    await page.press("j")
    await page.press("Enter")
    assert evil in await page.wait_for(text("#detail"))
    assert await page.eval("document.querySelectorAll('img').length") == 0
    assert await page.eval("document.title") == "viva voce"


async def test_a_malformed_event_costs_only_itself(page: Page, service: ConsoleService) -> None:
    service.send("tag", {"call_id": 7})
    service.send("tag", {"call_id": "odd", "tag": "brand-new-verdict"})
    service.tag("fine", "uncertain")
    await page.wait_for(f"{ROWS}.includes('fine')")
    assert "odd" in await page.eval(ROWS)


# which order, which calls


async def test_deepfake_stands_on_top_and_the_rest_keep_their_age(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="human-likely", b="human-likely", c="deepfake-likely", d="uncertain")
    assert await page.eval(ROWS) == "c,d,a,b"
    service.tag("b", "deepfake-likely", 1)
    await page.wait_for(f"{ROWS} === 'b,c,d,a' || {ROWS} === 'c,b,d,a'")


async def test_rows_do_not_jump_while_the_operator_is_among_them(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="human-likely", b="human-likely")
    await page.press("j")
    service.tag("b", "deepfake-likely", 1)
    await page.wait_for("document.querySelectorAll('#rows .pill[data-verdict=deepfake-likely]').length")
    assert (await page.eval(ROWS), await page.eval(FOCUSED)) == ("a,b", "a")
    await page.eval("document.activeElement.blur()")
    await page.wait_for(f"{ROWS} === 'b,a'")


async def test_ended_calls_go_to_the_second_list(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="human-likely", b="uncertain")
    service.tag("a", "human-likely", 5, kind="end", reasons=["rtp-timeout"])
    assert "packets stopped arriving" in await page.wait_for(text("#ended .row"))
    assert await page.eval(ROWS) == "b"


async def test_only_the_last_fifty_ended_calls_are_kept(page: Page, service: ConsoleService) -> None:
    for index in range(60):
        service.tag(f"e{index}", "human-likely", kind="end", reasons=["closed"])
    await page.wait_for("document.querySelector('#ended .row')?.dataset.id === 'e59'")
    assert await page.eval("document.querySelectorAll('#ended .row').length") == 50


async def test_an_agent_leg_that_sounds_synthetic_is_named_in_the_row(page: Page, service: ConsoleService) -> None:
    service.tag("a", "human-likely")
    service.tag("b", "uncertain")
    service.tag("a", "deepfake-likely", leg="agent")
    await page.wait_for(f"{ROWS} === 'a,b'")
    assert "agent: Deepfake-likely" in await page.eval(text("#rows .row"))


async def test_filter_finds_by_any_word(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain", metadata={"agent": "Nadia", "queue": "Cards"})
    service.tag("b", "uncertain", metadata={"agent": "Tom", "queue": "Cards"})
    await page.wait_for(f"{ROWS} === 'a,b'")
    await page.press("/")
    await page.type("cards tom")
    await page.wait_for(f"{ROWS} === 'b'")
    await page.press("Escape")
    await page.wait_for(f"{ROWS} === 'a,b'")


async def test_a_thousand_calls_are_counted_and_two_hundred_drawn(page: Page, service: ConsoleService) -> None:
    for index in range(1000):
        service.tag(f"k{index:04}", "human-likely", llr=3.0, probability=0.05)
    await page.wait_for("document.querySelector('#total').innerText === '1000'", timeout=20)
    assert await page.eval("document.querySelectorAll('#rows .row').length") == 200
    assert "200 of 1000" in await page.eval(text("#live-note"))


# changes and time


async def test_only_a_change_of_tag_is_announced(page: Page, service: ConsoleService) -> None:
    heard = "document.querySelector('#announce').innerText + document.querySelector('#alert').innerText"
    service.tag("a", "listening", pii={"caller": "Ann"})
    await page.wait_for("document.querySelector('#rows .row')")
    service.tag("a", "listening", 1, kind="score", pii={"caller": "Ann"})
    service.tag("a", "listening", 2, kind="score", pii={"caller": "Ann"}, net_speech_s=1.5)
    await page.wait_for(f"{text('#rows .c-speech')} === '1.5 s'")
    assert await page.eval(heard) == ""
    service.tag("a", "uncertain", 3, pii={"caller": "Ann"})
    await page.wait_for("document.querySelector('#announce').innerText === 'Ann: Uncertain.'")
    service.tag("a", "deepfake-likely", 4, pii={"caller": "Ann"})
    await page.wait_for("document.querySelector('#alert').innerText === 'Ann: Deepfake-likely.'")
    assert await page.eval("document.querySelector('#rows .row').classList.contains('changed')")
    live = "document.querySelector('#announce').ariaLive + document.querySelector('#alert').ariaLive"
    assert await page.eval(live) == "politeassertive"


async def test_a_repeated_event_changes_nothing(page: Page, service: ConsoleService) -> None:
    service.tag("a", "deepfake-likely", 5, event_id="170-5")
    service.tag("a", "human-likely", 4, event_id="170-4")
    service.tag("a", "human-likely", 5, event_id="170-5")
    service.tag("z", "uncertain")
    await page.wait_for(f"{ROWS} === 'a,z'")
    assert "Deepfake-likely" in await page.eval(text("#rows .row"))


async def test_an_old_tag_does_not_look_live(page: Page, service: ConsoleService) -> None:
    service.tag("old", "human-likely", wall_time=time.time() - 42)
    service.tag("new", "human-likely")
    await page.wait_for(f"{ROWS} === 'old,new'")
    stale = "[...document.querySelectorAll('#rows .row.stale')].map(row => row.dataset.id).join()"
    assert await page.eval(stale) == "old"
    assert "no update for 0:4" in await page.eval(text("#rows .row.stale"))
    service.tag("old", "human-likely", 1, kind="score")
    await page.wait_for(f"{stale} === ''")


async def test_a_tag_grows_stale_by_itself(page: Page, service: ConsoleService) -> None:
    service.tag("a", "human-likely", wall_time=time.time() - 8.5)
    await page.wait_for("document.querySelector('#rows .row:not(.stale)')")
    await page.wait_for("document.querySelector('#rows .row.stale')", timeout=5)


async def test_degraded_and_restored_are_shown(page: Page, service: ConsoleService) -> None:
    service.send("degraded", {})
    await page.wait_for("document.querySelector('#link').innerText === 'Degraded'")
    assert "tag stream" in await page.eval(text("#warning"))
    service.send("restored", {})
    await page.wait_for(f"{LIVE} && document.querySelector('#warning').hidden")
