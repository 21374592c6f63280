"""What an operator decides in an examination: by hand, not now, not at all; and words that stay words."""

from __future__ import annotations

import json

import pytest

from challenges.catalogue import CATALOGUE
from challenges.languages import LANGUAGES
from challenges.stages import TRANSITIONS, Press, Stage
from tests.peers.chromium import Browser, Page
from tests.peers.console_page import complaints, open_console, text
from tests.peers.console_service import ConsoleService
from tests.peers.test_console_examination import (
    ANSWERING,
    ASKED,
    BUTTON,
    EXAM,
    FAILED,
    IDLE,
    PROPOSED,
    WHISPER,
    Teller,
    open_call,
    sent,
)

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

FORM = "document.querySelector('.exam-override')"
FOCUS = "(document.activeElement.dataset.action ?? document.activeElement.value)"


# by hand


async def test_the_tag_is_set_by_hand_with_a_reason(page: Page, service: ConsoleService) -> None:
    await open_call(page, service, FAILED)
    await page.press("o")
    await page.wait_for(f"!{FORM}.hidden && {FOCUS} === 'human-likely'")
    assert "wrong more often than right" in await page.eval(EXAM)
    await page.click(".exam-override [value=uncertain]")
    await page.eval("document.querySelector('#exam-why').focus()")
    await page.type("a cold")
    await page.press("s")  # a letter, not a key of the examination
    service.exams["a"] = FAILED | {
        "state": "over",
        "by": "operator",
        "who": "",
        "why": "a colds",
        "reasons": ["operator-override"],
    }
    await page.click(".exam-override [type=submit]")
    assert await sent(service) == [{"action": "override", "verdict": "uncertain", "why": "a colds", "decisions": 0}]
    await page.wait_for(f"{FORM}.hidden && {EXAM}.includes('Decided by an operator: “a colds”.')")
    assert await page.eval(FOCUS) == "override", "the focus is not lost with the form"


async def test_nothing_is_set_before_a_verdict_is_chosen(page: Page, service: ConsoleService) -> None:
    await open_call(page, service, FAILED)
    await page.click(".exam [data-action=override]")
    await page.click(".exam-override [type=submit]")
    await page.press("Escape")
    await page.wait_for(f"{FORM}.hidden")
    assert not await page.eval("document.querySelector('#detail').hidden"), "Escape left the form, not the call"
    assert not service.pressed


@pytest.mark.parametrize(("key", "action"), [("p", "accept"), ("x", "stop")])
async def test_what_ends_an_examination_is_confirmed(page: Page, service: ConsoleService, key: str, action: str) -> None:
    await open_call(page, service, ANSWERING)
    await page.press(key)
    await page.wait_for(f"{FOCUS} === '{action}' && {EXAM}.includes('press Enter to confirm')")
    assert not service.pressed
    await page.press("Enter")
    assert await sent(service) == [{"action": action}]


async def test_no_letter_decides_where_letters_are_off(page: Page, service: ConsoleService) -> None:
    await open_call(page, service, PROPOSED)
    await page.click("#letters")
    for key in "apox":
        await page.press(key)
    assert await page.eval(f"{FORM}.hidden")
    assert not await page.eval(f"{EXAM}.includes('press Enter to confirm')")
    assert not await page.eval("document.querySelector('.exam kbd').checkVisibility()")
    assert not service.pressed
    await page.click("#letters")
    await page.press("o")
    await page.wait_for(f"!{FORM}.hidden")


# not now


@pytest.mark.parametrize(
    ("record", "action", "why"),
    [
        (ANSWERING, "ask", "A question is under way"),
        (IDLE, "answering", "Nothing has been asked."),
        (ANSWERING, "answering", "The answer is being heard already."),
        (IDLE, "skip", "There is no question to skip."),
        (PROPOSED, "repeat", "There is no question to repeat."),
        (FAILED | {"state": "over"}, "accept", "This examination is over"),
    ],
)
async def test_a_button_that_does_nothing_says_why(
    page: Page, service: ConsoleService, record: dict[str, object], action: str, why: str
) -> None:
    await open_call(page, service, record)
    button = BUTTON.format(action)
    assert why in await page.wait_for(f"{button}.title")
    assert await page.eval(f"{button}.getAttribute('aria-disabled')") == "true"
    await page.click(f".exam [data-action={action}]")
    await page.wait_for(f"{text('.exam-message')}.includes({json.dumps(why)})")
    assert not service.pressed


async def test_a_hint_goes_when_its_reason_does(page: Page, service: ConsoleService) -> None:
    teller = await open_call(page, service, ANSWERING)
    await page.press("a")
    await page.wait_for(f"{text('.exam-message')}.includes('under way')")
    teller.tell(FAILED)
    await page.wait_for(f"{text('.exam-message')} === ''")


async def test_a_refusal_is_a_sentence_and_the_page_looks_again(page: Page, service: ConsoleService) -> None:
    await open_call(page, service, PROPOSED)
    await page.wait_for("performance.getEntriesByType('resource').some(e => e.name.includes('/examination'))")
    service.refuse_press, service.exams["a"] = "a question is answering already", ANSWERING
    await page.press("a")
    await page.wait_for(f"{text('.exam-message')} === 'A question is answering already.'")
    await page.wait_for(f"{EXAM}.includes('listening to the answer')")


@pytest.mark.parametrize("stage", Stage)
async def test_no_button_is_open_that_the_state_machine_refuses(page: Page, stage: Stage) -> None:
    """The page's obstacles against the transitions: what leads nowhere is not offered, what leads on is."""
    exam = json.dumps({"record": {"state": str(stage)}, "refusal": ""})
    found = await page.eval(f"import('/console/exam-state.js').then(module => module.obstacles({exam}, true))")
    assert set(found) == {str(press) for press in Press}
    after = TRANSITIONS[stage]
    leads = {"ask": Stage.ASKED, "answering": Stage.ANSWERING, "skip": Stage.SKIPPED, "accept": Stage.OVER, "stop": Stage.OVER}
    running = stage in (Stage.ASKED, Stage.ANSWERING, Stage.JUDGING)
    for action, target in leads.items():
        open_ = target in after and not (action == "ask" and running)
        assert (found[action] == "") == open_, action
    assert (found["repeat"] == "") == running
    assert found["override"] == ""


# not at all


async def test_examinations_that_are_off_say_so_and_offer_nothing(page: Page, service: ConsoleService) -> None:
    service.tag("a", "uncertain", 0, examination=None)
    await page.wait_for("document.querySelector('#rows .row')")
    await page.press("j")
    await page.press("Enter")
    await page.wait_for(f"{EXAM}.includes('examinations are off.')")
    assert await page.eval("document.querySelector('.exam-controls').hidden")
    await page.press("a")
    assert not service.pressed


async def test_the_other_side_of_the_call_is_looked_at_apart(page: Page, service: ConsoleService) -> None:
    service.tag("a", "human-likely", 0, leg="agent")
    await open_call(page, service, ASKED)
    await page.wait_for(f"{EXAM}.includes('Please say this')")
    await page.eval("document.querySelector('.legs [data-leg=agent]').click()")
    await page.wait_for(f"{EXAM}.includes('Nobody can be examined on this side of the call')")
    await page.eval("document.querySelector('.legs [data-leg=caller]').click()")
    await page.wait_for(f"{EXAM}.includes('Please say this')")


async def test_a_call_that_is_over_keeps_its_result_and_has_no_keys(page: Page, service: ConsoleService) -> None:
    teller = await open_call(page, service, ASKED, FAILED | {"state": "over"})
    teller.tell(None, kind="end")
    await page.wait_for("document.querySelector('#ended .row') && document.querySelector('.exam-controls').hidden")
    assert "Question 1, Whisper" in await page.eval(EXAM)
    await page.press("o")
    await page.wait_for(f"{text('.exam-message')} === 'The call is over.'")
    assert not service.pressed


# words


async def test_text_of_a_record_stays_text(page: Page, service: ConsoleService) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    names = ("challenge", "name", "language", "sentence", "who", "why", "id")
    await open_call(page, service, FAILED | {"state": "asked", "reasons": [evil], **dict.fromkeys(names, evil)})
    assert (await page.wait_for(EXAM)).count("<img") >= 3
    assert await page.eval("document.querySelectorAll('img').length") == 0
    assert await page.eval("document.title") == "viva voce"


async def test_an_odd_record_costs_only_itself(page: Page, service: ConsoleService) -> None:
    odd = {"state": "pondering", "attempt": "1", "compliance": "high", "reasons": 7, "sentence": None, "deadline_s": []}
    teller = await open_call(page, service, odd)
    await page.wait_for(f"{EXAM}.includes('The service says “pondering”.')")
    teller.tell({"state": 7})
    teller.tell(ASKED)
    await page.wait_for(f"{EXAM}.includes('Please say this')")


@pytest.mark.parametrize(
    ("record", "mark"),
    [(PROPOSED, "Examine?"), (ASKED, "Say the question"), (ASKED | {"spoken_by": "engine"}, "Being asked"),
     (ANSWERING, "Answering"), (WHISPER | {"state": "judging"}, "Judging"), (FAILED, ""), (IDLE, "")],
)  # fmt: skip
async def test_the_row_says_what_needs_somebody(
    page: Page, service: ConsoleService, record: dict[str, object], mark: str
) -> None:
    Teller(service).tell(record)
    await page.wait_for("document.querySelector('#rows .row')")
    assert await page.eval(text("#rows .exam-mark")) == mark
    told = await page.eval("document.querySelector('#announce').textContent")
    assert ("a question to this caller is suggested" in told) == (record is PROPOSED)


async def test_the_page_knows_every_challenge_language_state_and_key(page: Page) -> None:
    told = await page.eval("""import('/console/exam-words.js').then(words => ({
        challenges: words.CHALLENGES, languages: Object.keys(words.LANGUAGES), actions: words.ACTIONS}))""")
    assert told["challenges"] == {key: challenge.name for key, challenge in CATALOGUE.items()}
    assert set(told["languages"]) == set(LANGUAGES)
    assert set(told["actions"]) == {str(press) for press in Press}
    states = json.dumps([str(stage) for stage in Stage])
    shown = await page.eval(f"import('/console/exam-words.js').then(words => {states}.map(words.stateText))")
    assert len(set(shown)) == len(Stage)
    assert not [sentence for sentence in shown if "The service says" in sentence]
    helped = await page.eval(text("footer.keys"))
    assert all(key in helped for _, key in told["actions"].values())


@pytest.mark.parametrize("width", [360, 1100])
async def test_the_panel_fits_its_width(browser: Browser, service: ConsoleService, width: int) -> None:
    page = await open_console(browser, service, width=width, height=780)
    long = ASKED | {"sentence": "Donaudampfschifffahrtsgesellschaftskapitän " * 6, "who": "A" * 80}
    await open_call(page, service, FAILED, long)
    await page.press("o")
    await page.wait_for(f"{EXAM}.includes('Please say this')")
    assert await page.eval("document.querySelector('#detail').scrollWidth <= document.querySelector('#detail').clientWidth")
    assert not complaints(page)


async def test_the_second_click_of_a_double_one_decides_nothing(page: Page, service: ConsoleService) -> None:
    await open_call(page, service, ANSWERING)
    for count in (2, 1):
        click = f"new MouseEvent('click', {{bubbles: true, detail: {count}}})"
        await page.eval(f"document.querySelector('.exam [data-action=skip]').dispatchEvent({click})")
    assert await sent(service) == [{"action": "skip", "challenge": ANSWERING["challenge"]}]
