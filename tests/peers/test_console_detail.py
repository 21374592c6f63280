"""The console by keyboard, on small screens, in words, and one call in full."""

from __future__ import annotations

import json

import pytest

from engine.events import REASONS
from tests.peers.chromium import Browser, Page
from tests.peers.console_page import FOCUSED, LIVE, ROWS, open_console, show_calls, text
from tests.peers.console_service import ConsoleService

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]


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


async def test_letters_can_be_switched_off_and_stay_off(page: Page, service: ConsoleService) -> None:
    shown = "[...document.querySelectorAll('.keys kbd, .tools kbd')].filter(kbd => kbd.checkVisibility())"
    hints = f"{shown}.map(kbd => kbd.innerText).join('')"
    await show_calls(page, service, a="deepfake-likely", b="uncertain")
    assert set("jk/canso") < set(await page.eval(hints))
    await page.click("#letters")
    for again in (False, True):
        if again:
            await page.eval("window.before = true")
            await page.send("Page.reload")
            await page.wait_for(f"!window.before && document.readyState === 'complete' && {LIVE}")
            await show_calls(page, service, a="deepfake-likely", b="uncertain")
        await page.eval("document.activeElement.blur()")
        for key in "j/c":
            await page.press(key)
        assert await page.eval(FOCUSED) == ""
        assert await page.eval(hints) == "↑↓EnterEsc"
        assert await page.eval("document.querySelector('#intake').hidden")
        await page.press("ArrowDown")
        assert await page.eval(FOCUSED) == "a"
        await page.press("Enter")
        await page.wait_for("!document.querySelector('#detail').hidden")
        await page.press("Escape")
        await page.wait_for("document.querySelector('#detail').hidden")
    await page.click("#letters")
    await page.press("j")
    assert await page.eval(FOCUSED) in ("a", "b"), "and on again"


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
        "['grid', 'rowgroup', 'row', 'gridcell', 'columnheader'].every(role => document.querySelector(`[role=${role}]`))"
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
