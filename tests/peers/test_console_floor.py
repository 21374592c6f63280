"""The console on a busy floor: alarms out of sight, colleagues, calls that end in mid-sentence, any script, other clocks."""

from __future__ import annotations

import pytest

from tests.peers.chromium import Browser, Page
from tests.peers.console_page import LIVE, ROWS, open_console, show_calls, text
from tests.peers.console_service import ConsoleService, make_tag
from tests.peers.test_console_decisions import FORM
from tests.peers.test_console_examination import ASKED, EXAM, FAILED, open_call, sent

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

ALARM = "document.querySelector('#alarm')"
FOCUS = "document.activeElement"


# an alarm is always in sight


async def test_an_alarm_behind_the_detail_is_in_the_header_and_leads_there(browser: Browser, service: ConsoleService) -> None:
    page = await open_console(browser, service, width=1000, height=760)
    service.tag("olive", "uncertain", pii={"caller": "Olive"})
    service.tag("mallory", "uncertain", pii={"caller": "Mallory"})
    await page.wait_for(f"{ROWS} === 'olive,mallory'")
    assert await page.eval(f"{ALARM}.hidden")
    await page.click("#rows [data-id=olive]")
    service.tag("mallory", "deepfake-likely", 1)
    assert await page.wait_for(text("#alarm")) == "Deepfake-likely: Mallory"
    service.tag("eve", "deepfake-likely", pii={"caller": "Eve"})
    await page.wait_for(f"{text('#alarm')} === 'Deepfake-likely: Eve and 1 more'")
    await page.click("#alarm")
    await page.wait_for(f"{text('.detail .mono')} === 'eve' && {text('#alarm')} === 'Deepfake-likely: Mallory'")


async def test_an_alarm_whose_row_is_seen_is_not_said_twice(page: Page, service: ConsoleService) -> None:
    await show_calls(page, service, a="deepfake-likely", b="uncertain")
    await page.wait_for("document.querySelector('#rows .row').dataset.verdict === 'deepfake-likely'")
    assert await page.eval(f"{ALARM}.hidden")


async def test_an_alarm_has_a_row_among_more_calls_than_rows_and_below_the_fold_the_header_tells_of_it(
    page: Page, service: ConsoleService
) -> None:
    for number in range(230):
        service.tag(f"c{number:03}", "uncertain")
    await page.wait_for("document.querySelectorAll('#rows .row').length === 200")
    for _ in range(3):
        await page.press("j")  # among the rows: they keep their places
    service.tag("c225", "deepfake-likely", 1)
    await page.wait_for(f"document.querySelector('#rows [data-id=c225]') && {text('#alarm')}.includes('Caller not given')")
    assert await page.eval("document.querySelectorAll('#rows .row').length") == 200
    assert await page.eval(f"{FOCUS}.dataset.id") == "c002", "under the operator's hand nothing moves"


# colleagues


async def test_what_a_colleague_decided_meanwhile_is_read_before_it_is_reversed(page: Page, service: ConsoleService) -> None:
    teller = await open_call(page, service, FAILED | {"decisions": 0})
    await page.press("o")
    await page.wait_for(f"!{FORM}.hidden")
    await page.click(".exam-override [value=human-likely]")
    ben = FAILED | {"state": "over", "by": "operator", "who": "ben", "why": "the bank confirmed fraud", "decisions": 1}
    teller.tell(ben, "deepfake-likely")
    await page.wait_for(f"{EXAM}.includes('the bank confirmed fraud')")
    service.refuse_press = "ben has meanwhile decided deepfake-likely"
    await page.click(".exam-override [type=submit]")
    await page.wait_for(f"{text('.exam-message')}.includes('Ben has meanwhile decided')")
    assert not await page.eval(f"{FORM}.hidden")
    service.refuse_press = ""
    service.exams["a"] = ben | {"who": "ana", "decisions": 2}
    await page.click(".exam-override [type=submit]")
    await page.wait_for(f"{FORM}.hidden")
    assert [one["decisions"] for one in await sent(service, 2)] == [0, 1]


# a call that ends


async def test_what_was_typed_when_the_call_ended_is_still_there_and_focus_too(page: Page, service: ConsoleService) -> None:
    teller = await open_call(page, service, ASKED)
    await page.press("o")
    await page.wait_for(f"!{FORM}.hidden")
    await page.eval("document.querySelector('#exam-why').focus()")
    await page.type("she knows the account")
    service.tag("a", "uncertain", teller.seq, kind="end", reasons=["closed"], examination=ASKED | {"state": "over"})
    await page.wait_for(f"{text('.exam-message')}.includes('“she knows the account”')")
    await page.wait_for(f"{FOCUS}.matches('.close')")


# names in any script


async def test_marks_of_direction_turn_no_text_round(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain", pii={"caller": "\u202egro.knab@troppus\u2066"}, metadata={"agent": "\u200fNadia"})
    await page.wait_for(f"{text('#rows .c-who .main')} === 'gro.knab@troppus'")
    assert await page.eval(text("#rows .c-agent .main")) == "Nadia"
    await page.click("#rows [data-id=a]")
    await page.wait_for(f"{text('.detail-caller')} === 'gro.knab@troppus'")
    assert "\\u202egro.knab" in await page.eval("document.querySelector('.raw').textContent"), "in the record they are told"


async def test_a_name_from_right_to_left_keeps_its_beginning(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain", pii={"caller": "محمد " * 30})
    await page.wait_for("document.querySelector('#rows .row')")
    assert await page.eval("getComputedStyle(document.querySelector('#rows .c-who .main')).direction") == "rtl"


async def test_what_a_line_says_of_itself_is_no_fact_of_ours(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain", metadata={"Model": "trusted-9", "Score (LLR)": "+9.9"}, llr=-0.5)
    await page.wait_for("document.querySelector('#rows .row')")
    await page.click("#rows [data-id=a]")
    with_facts = "[...document.querySelectorAll('.detail section')].filter(one => one.querySelector('dl'))"
    sections = await page.wait_for(f"{with_facts}.map(one => one.innerText)")
    ours = next(one for one in sections if one.startswith("This call"))
    told = next(one for one in sections if one.startswith("Said by the line"))
    assert "trusted-9" not in ours
    assert "+9.9" not in ours
    assert "trusted-9" in told


# screen readers


async def test_a_row_has_a_name_and_what_opens_beside_it_is_told(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain", pii={"caller": "Olive"})
    await page.wait_for("document.querySelector('#rows .row')")
    assert await page.eval("document.querySelector('#rows .row').getAttribute('aria-label')") == "Olive, Uncertain"
    await page.press("j")
    await page.press("Enter")
    assert await page.wait_for(text("#announce")) == "The detail of Olive is open: Uncertain."
    assert await page.eval(f"{FOCUS}.dataset.id") == "a"


async def test_the_sentence_to_say_is_told_with_the_state(page: Page, service: ConsoleService) -> None:
    await open_call(page, service, ASKED | {"spoken_by": "operator"})
    status = await page.wait_for("document.querySelector('.exam [role=status]').innerText")
    assert ASKED["sentence"] in status


# clocks


async def test_a_clock_that_is_set_while_calls_run_makes_none_of_them_old(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain")
    await page.wait_for(f"{ROWS} === 'a'")
    service.calls = [{"call_id": "a", "legs": {"caller": make_tag("a", "uncertain", 0)}}]
    await page.eval("(() => { const real = Date.now; Date.now = () => real() + 300_000; })()")
    for seq in range(1, 6):
        service.tag("a", "uncertain", seq)
    await page.wait_for("performance.getEntriesByType('resource').filter(e => e.name.endsWith('/v1/calls')).length > 1")
    service.tag("a", "uncertain", 9)
    await page.wait_for(f"{LIVE} && !document.querySelector('#rows .row').classList.contains('stale')")
    assert await page.eval(text("#rows .stale-mark")) == ""
