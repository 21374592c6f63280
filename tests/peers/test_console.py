"""The console in a real browser: what an operator sees, hears, presses and drops."""

from __future__ import annotations

import asyncio
import json
import math
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from aiortc import RTCPeerConnection, RTCSessionDescription
from chromium import Browser, Page, chromium
from console_service import CONSOLE, ConsoleService, console_service, make_tag

from engine.events import REASONS

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

THRESHOLDS = {"deepfake_llr": -2.0, "human_llr": 2.0}
LIVE = "document.querySelector('#link').dataset.link === 'live'"
ROWS = "[...document.querySelectorAll('#rows .row')].map(row => row.dataset.id).join()"
FOCUSED = "document.activeElement.dataset.id ?? document.activeElement.id"


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
    service.tag("a", "deepfake-likely", 5)
    service.tag("a", "human-likely", 4)
    service.tag("a", "human-likely", 5)
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


# the keyboard, small screens, the detail


async def test_keyboard_moves_opens_and_closes(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="deepfake-likely", b="uncertain", c="human-likely")
    for key, expected in (("j", "a"), ("j", "b"), ("ArrowDown", "c"), ("j", "c"), ("k", "b"), ("ArrowUp", "a")):
        await page.press(key)
        assert await page.eval(FOCUSED) == expected, key
    assert await page.eval("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.press("Enter")
    await page.wait_for("!document.querySelector('#detail').hidden")
    await page.press("Escape")
    await page.wait_for("document.querySelector('#detail').hidden")
    assert await page.eval(FOCUSED) == "a"


async def test_open_detail_follows_the_keyboard(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="deepfake-likely", b="uncertain")
    await page.press("j")
    await page.press("Enter")
    await page.press("j")
    await page.wait_for("document.querySelector('#detail .sub').innerText === 'b'")
    assert await page.eval(FOCUSED) == "b"
    assert await page.eval("[...document.querySelectorAll('[aria-current]')].map(row => row.dataset.id).join()") == "b"


async def test_focus_passes_on_when_its_row_leaves(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="uncertain", b="uncertain")
    await page.press("j")
    service.tag("a", "uncertain", 1, kind="end")
    await page.wait_for(f"{FOCUSED} === 'b'")


async def test_exactly_one_row_is_a_tab_stop(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="uncertain", b="uncertain", c="uncertain")
    await page.press("j")
    await page.press("j")
    assert (
        await page.eval("[...document.querySelectorAll('.row[tabindex=\"0\"]')].map(row => row.dataset.id).join()")
        == "b"
    )
    roles = (
        "['table', 'rowgroup', 'row', 'cell', 'columnheader'].every(role => document.querySelector(`[role=${role}]`))"
    )
    assert await page.eval(roles)


async def test_detail_says_it_in_words(page: Page, service: ConsoleService) -> None:
    service.tag("a", "listening", 0, reasons=["too-little-speech"])
    service.tag("a", "deepfake-likely", 9, llr=-2.6, probability=0.93, reasons=["lossy-audio"], loss=0.08, lossy=True)
    await page.wait_for("document.querySelector('#rows .row[data-verdict=deepfake-likely]')")
    await page.click("#rows .row")
    shown = await page.wait_for(text("#detail"))
    assert "Estimated probability that this voice is synthetic: 93 %" in shown
    assert "Many packets were lost" in shown
    assert "not proof" in shown
    assert "conformer-1" in shown
    assert [line for line in shown.splitlines() if line in ("Listening", "Deepfake-likely")] == [
        "Deepfake-likely"
    ] * 2 + ["Listening"]
    raw = json.loads(await page.eval("document.querySelector('.raw').textContent"))
    assert (raw["seq"], raw["llr"]) == (9, -2.6)
    assert "now −2.6" in await page.eval("document.querySelector('.chart').ariaLabel")


async def test_every_reason_of_the_engine_is_a_sentence_of_its_own(page: Page) -> None:
    told = await page.eval("import('/console/words.js').then(words => words.reasonCodes().map(words.reasonText))")
    assert all(sentence.endswith(".") for sentence in told)
    assert len(set(told)) == len(told)
    codes = await page.eval("import('/console/words.js').then(words => words.reasonCodes())")
    assert set(REASONS) <= set(codes)
    assert "odd-code" in await page.eval("import('/console/words.js').then(words => words.reasonText('odd-code'))")


async def test_raw_tag_is_copied(browser: Browser, page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="uncertain")
    await page.press("j")
    await page.press("Enter")
    await page.eval("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    await page.eval("[...document.querySelectorAll('#detail button')].find(b => b.innerText === 'Copy JSON').click()")
    await page.wait_for("document.querySelector('.copied').innerText === 'Copied'")
    assert json.loads(await page.eval("window.copied"))["call_id"] == "a"


async def test_detail_keeps_the_focus_of_its_controls_while_scores_arrive(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain", 0)
    service.tag("a", "human-likely", 0, leg="agent")
    await page.wait_for(f"{ROWS} === 'a'")
    await page.press("j")
    await page.press("Enter")
    await page.eval("document.querySelector('.legs [data-leg=agent]').click()")
    await page.eval("document.querySelector('.legs [data-leg=agent]').focus()")
    service.tag("a", "human-likely", 1, leg="agent", kind="score", net_speech_s=7.3)
    await page.wait_for(f"{text('#detail')}.includes('7.3 s')")
    assert await page.eval("document.activeElement.dataset.leg") == "agent"


@pytest.mark.parametrize("width", [360, 480, 700, 1000, 1440])
async def test_no_width_scrolls_sideways(browser: Browser, service: ConsoleService, width: int) -> None:
    page = await open_console(browser, service, width=width, height=780)
    long = {
        "agent": "Bartholomew Featherstonehaugh-Cholmondeley",
        "queue": "International account recovery and disputes",
    }
    service.tag(
        "x" * 64,
        "deepfake-likely",
        metadata=long,
        pii={"caller": "+44 20 7946 0832 9999 9999 9999"},
        llr=-3.1,
        probability=0.97,
    )
    service.tag("y", "human-likely", kind="end", reasons=["rtp-timeout"], pii={"caller": "9" * 60})
    await page.wait_for("document.querySelector('#rows .row') && document.querySelector('#ended .row')")
    assert await page.eval("document.documentElement.scrollWidth") <= width
    await page.press("j")
    await page.press("Enter")
    await page.wait_for("!document.querySelector('#detail').hidden")
    assert await page.eval("document.documentElement.scrollWidth") <= width
    assert await page.eval(
        "document.querySelector('#detail').scrollWidth <= document.querySelector('#detail').clientWidth"
    )


async def test_dark_light_and_reduced_motion_are_followed(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="listening")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    await page.prefer(prefers_color_scheme="dark")
    dark = await page.eval(ground)
    await page.prefer(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    assert await page.eval(ground) != dark
    assert await page.eval("getComputedStyle(document.querySelector('.turn')).animationName") == "none"


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_words_stand_out_from_their_ground(page: Page, service: ConsoleService, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5 for every verdict word, in both schemes."""
    verdicts = ["deepfake-likely", "human-likely", "uncertain", "listening", "no-speech", "unknown"]
    await page.prefer(prefers_color_scheme=scheme)
    await show_calls(page, service, **{f"c{index}": verdict for index, verdict in enumerate(verdicts)})
    pairs: list[list[str]] = await page.eval("""[...document.querySelectorAll('#rows .pill')].map(pill => {
        const see = (e) => getComputedStyle(e).backgroundColor;
        const clear = (c) => c === 'rgba(0, 0, 0, 0)';
        const ground = [pill, pill.closest('.row'), document.querySelector('#table')].map(see).find(c => !clear(c));
        return [getComputedStyle(pill).color, ground];
    })""")
    for ink, ground in pairs:
        high, low = sorted((luminance(ink), luminance(ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# what the browser sends


async def test_recording_is_sent_as_it_is(page: Page, service: ConsoleService, tmp_path: Path) -> None:
    recording = tmp_path / "Anruf & Rückruf 1.wav"
    recording.write_bytes(bytes(range(256)) * 700)
    await page.choose_file("#file", recording)
    await page.wait_for(f"{text('#intake')}.includes('Playing as a live call')")
    assert service.uploads == [({"pace": "realtime", "name": recording.name}, recording.read_bytes())]


async def test_dropped_recording_is_sent(page: Page, service: ConsoleService) -> None:
    await page.eval("""(() => {
        const files = new DataTransfer();
        files.items.add(new File(['RIFF-bytes'], 'dropped.wav'));
        for (const type of ['dragenter', 'dragover', 'drop'])
            document.body.dispatchEvent(new DragEvent(type, {dataTransfer: files, bubbles: true, cancelable: true}));
    })()""")
    await page.wait_for(f"{text('#intake')}.includes('Playing as a live call')")
    assert service.uploads == [({"pace": "realtime", "name": "dropped.wav"}, b"RIFF-bytes")]
    assert await page.eval("document.querySelector('#veil').hidden")


async def test_refused_recording_says_why(page: Page, service: ConsoleService, tmp_path: Path) -> None:
    service.refuse_upload = (422, "The file holds no audio that can be read.")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"nothing")
    await page.choose_file("#file", broken)
    await page.wait_for(f"{text('#intake .failed')}.includes('The file holds no audio that can be read.')")


async def test_empty_file_is_refused_at_once(page: Page, service: ConsoleService, tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    await page.choose_file("#file", empty)
    await page.wait_for(f"{text('#intake .failed')}.includes('This file is empty.')")
    assert service.uploads == []


async def test_refused_call_says_why_and_can_be_tried_again(page: Page, service: ConsoleService) -> None:
    await page.press("c")
    await page.wait_for(f"{text('#intake .failed')}.includes('All places are taken')", timeout=15)
    assert service.offers[0].startswith("v=0")
    assert "a=sendrecv" in service.offers[0]
    assert "opus" in service.offers[0]
    assert not await page.eval("document.querySelector('#call').disabled")


async def test_call_from_the_browser_with_level_meter_and_hang_up(
    page: Page, service: ConsoleService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    peer = RTCPeerConnection()
    tracks: list[Any] = []
    peer.on("track", tracks.append)

    async def answer(offer: str) -> str:
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return str(peer.localDescription.sdp)

    service.answer = answer
    asked = "navigator.mediaDevices.getUserMedia"
    await page.eval(
        f"(() => {{ const ask = {asked}.bind(navigator.mediaDevices); {asked} = c => (window.asked = c, ask(c)); }})()"
    )
    await page.click("#call")
    try:
        await page.wait_for(f"{text('.strip.call')}.includes('On the line')", timeout=15)
        processing = await page.eval(
            "[asked.audio.echoCancellation, asked.audio.noiseSuppression, asked.audio.autoGainControl]"
        )
        assert processing == [False, False, False]
        await page.wait_for("Number(document.querySelector('[role=meter]').ariaValueNow) > 40")
        frame = await asyncio.wait_for(tracks[0].recv(), 5)
        assert frame.samples == 960
        await page.press("c")
        assert await page.eval("document.activeElement.innerText") == "Hang up"
        await page.press("Enter")
        await page.wait_for(f"{text('.strip.call')}.includes('You hung up')")
        for _ in range(100):
            if service.deleted:
                break
            await asyncio.sleep(0.02)
        assert service.deleted == ["browser-1"]
    finally:
        await peer.close()


# the files


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    html = (CONSOLE / "index.html").read_text()
    assert "<style" not in html
    assert "style=" not in html
    assert " on" + "click" not in html
    assert html.count("<script") == html.count('<script type="module" src="console/console.js"></script>') == 1
    for path in [*CONSOLE.glob("*.js"), *CONSOLE.glob("*.css"), CONSOLE / "index.html"]:
        source = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in source, path.name
        assert "https://" not in source, path.name
        assert "innerHTML" not in source, path.name
        assert "insertAdjacentHTML" not in source, path.name
        assert path.suffix != ".js" or len(source.splitlines()) < 250, path.name
