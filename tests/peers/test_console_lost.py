"""What goes wrong between page and service, and with what an operator has in hand meanwhile."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.peers.chromium import Browser, Page
from tests.peers.console_page import FOCUSED, LIVE, ROWS, open_console, show_calls, text
from tests.peers.console_service import ConsoleService
from tests.peers.test_console_examination import EXAM, PROPOSED, Teller

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

LINK = "document.querySelector('#link').innerText"
DIALOG = "document.querySelector('#token-dialog').open"
FOLLOW = """import('/console/stream.js').then(stream => {
    window.heard = [];
    const say = (word) => () => heard.push(word);
    const told = {onTag: (tag) => heard.push(tag.call_id), onOpen: say('open'), onLost: say('lost')};
    window.feed = stream.followEvents({...told, onDegraded: say(''), onGap: say('gap'), onRefused: say('refused'), quiet: 400});
})"""


# the stream


async def test_degraded_is_over_when_the_stream_opens_again(page: Page, service: ConsoleService) -> None:
    service.send("degraded", {})
    await page.wait_for(f"{LINK} === 'Degraded'")
    service.drop_clients()  # that all is well again is told while the page is away
    await page.wait_for(f"{LINK} === 'Live' && document.querySelector('#warning').hidden")


async def test_a_stream_that_says_nothing_is_given_up_and_resumed(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain")
    await page.wait_for(f"{ROWS} === 'a'")
    before = len(service.resumed)
    await page.eval(FOLLOW)
    await page.wait_for("heard.join() === 'open'")
    service.tag("b", "uncertain")
    await page.wait_for("heard.slice(0, 4).join() === 'open,b,lost,open'")
    assert service.resumed[before : before + 2] == [None, "2"]
    await page.eval("feed.close()")


async def test_a_quiet_stream_that_is_kept_alive_stays(page: Page, service: ConsoleService) -> None:
    await page.eval(FOLLOW)
    await page.wait_for("heard.join() === 'open'")
    for _ in range(10):
        await asyncio.sleep(0.1)
        service.send("ping", {})
    assert await page.eval("heard.join()") == "open"
    await page.eval("feed.close()")


# decisions


async def test_a_decision_without_an_answer_blocks_no_other_call(page: Page, service: ConsoleService) -> None:
    for name in ("one", "two"):
        Teller(service, name).tell(PROPOSED)
    service.unanswered = {"one"}
    await page.wait_for(f"{ROWS} === 'one,two'")
    for name in ("one", "two"):
        await page.click(f"#rows [data-id={name}]")
        await page.wait_for(f"{text('.detail .mono')} === '{name}'")
        await page.press("a")
    async with asyncio.timeout(5):
        while len(service.pressed) < 2:
            await asyncio.sleep(0.02)
    assert [one["call_id"] for one in service.pressed] == ["one", "two"]
    await page.click("#rows [data-id=one]")
    await page.press("a")
    await page.wait_for(f"{EXAM}.includes('still on its way')")
    await page.wait_for(f"{EXAM}.includes('did not answer within 10 seconds')", timeout=15)
    service.unanswered = set()
    await page.press("a")
    async with asyncio.timeout(5):
        while len(service.pressed) < 3:
            await asyncio.sleep(0.02)


async def test_a_call_that_is_read_stays_until_it_is_closed_and_then_leaves(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, old="human-likely")
    await page.click("#rows .row")
    service.tag("old", "human-likely", 1, kind="end")
    for number in range(50):
        service.tag(f"e{number}", "human-likely", kind="end")
    Teller(service, "new").tell(PROPOSED)
    await page.wait_for(f"{ROWS} === 'new'")
    await page.wait_for("document.querySelectorAll('#ended .row').length === 51")
    assert not await page.eval("document.querySelector('#detail').hidden"), "what is being read is not closed"
    await page.press("Escape")
    await page.wait_for("document.querySelectorAll('#ended .row').length === 50 && document.querySelector('#detail').hidden")
    await page.eval("document.querySelector('#rows .row').focus()")
    await page.press("a")
    async with asyncio.timeout(5):
        while not service.pressed:
            await asyncio.sleep(0.02)
    assert service.pressed == [{"call_id": "new", "leg": "caller", "action": "ask"}]


# the token


async def test_escape_does_not_lose_the_token_dialog(browser: Browser, service: ConsoleService) -> None:
    service.token = "right"
    page = await browser.open(service.url + "/")
    await page.wait_for(DIALOG)
    for _ in range(3):
        await page.press("Escape")
        await page.wait_for(DIALOG)
    await page.eval("document.querySelector('#token').focus()")
    await page.type("right")
    await page.press("Enter")
    await page.wait_for(f"{LIVE} && !{DIALOG}")


# what is marked, what is covered


async def test_what_is_marked_for_copying_stays_until_it_is_let_go(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="uncertain", b="uncertain")
    await page.eval("Object.defineProperty(navigator, 'clipboard', {value: undefined})")  # as on plain http
    await page.click("#rows [data-id=a]")
    await page.eval("[...document.querySelectorAll('#detail button')].find(b => b.innerText === 'Copy JSON').click()")
    await page.wait_for(f"{text('.copied')}.includes('Selected below')")
    service.tag("a", "uncertain", 1, kind="score", net_speech_s=7.3)
    await page.wait_for(f"{text('#detail .facts')}.includes('7.3 s')")
    assert json.loads(await page.eval("String(getSelection())"))["seq"] == 0
    await page.eval("getSelection().removeAllRanges()")
    await page.wait_for("JSON.parse(document.querySelector('.raw').textContent).seq === 1")
    await page.eval("getSelection().selectAllChildren(document.querySelector('.raw'))")
    await page.click("#rows [data-id=b]")
    await page.wait_for("JSON.parse(document.querySelector('.raw').textContent).call_id === 'b'")


@pytest.mark.parametrize(("width", "height"), [(900, 700), (390, 780)])
async def test_on_a_narrow_screen_the_detail_covers_nothing(
    browser: Browser, service: ConsoleService, width: int, height: int
) -> None:
    page = await open_console(browser, service, width=width, height=height)
    for name in "abcdefghijklmnop":
        service.tag(name, "uncertain", llr=-1.0, probability=0.6)
    await page.wait_for("document.querySelectorAll('#rows .row').length === 16")
    await page.click("#rows [data-id=p]")
    await page.wait_for(f"{FOCUSED} === 'detail'")
    service.unavailable = 1
    service.drop_clients()
    await page.wait_for("!document.querySelector('#warning').hidden")
    on_top = """(() => ['#warning', '#link', '#filter', '#call', '.close'].filter(name => {
        const element = document.querySelector(name), box = element.getBoundingClientRect();
        const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return !(element.contains(top) || top?.contains(element)) || (top.id === 'detail' && name !== '.close');
    }).join())()"""
    assert await page.eval(on_top) == ""
    lists = "[...document.querySelectorAll('#rows .row, #drop')]"
    reached = f"{lists}.filter(element => (element.focus(), document.activeElement === element)).length"
    assert await page.eval(reached) == 0, "what is not seen is not reached by Tab"
    assert await page.eval("document.documentElement.scrollHeight <= innerHeight")
    assert await page.eval("(d => d.scrollHeight > d.clientHeight && d.clientHeight > 200)(document.querySelector('#detail'))")
    await page.eval("document.querySelector('#detail').focus()")
    await page.press("Escape")
    await page.wait_for(f"{FOCUSED} === 'p'")
    in_sight = "(box => box.top >= 0 && box.bottom <= innerHeight + 1)(document.activeElement.getBoundingClientRect())"
    assert await page.eval(in_sight)
