"""The examination of a caller in the console: what is said, what can be pressed, what is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from challenges.examination import Examination, ExaminationConfig
from tests.peers.chromium import Page
from tests.peers.console_page import text
from tests.peers.console_service import ConsoleService

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

IDLE = Examination(ExaminationConfig(), lambda *_: None, 0.64, can_play=True).record(0.0)
WHISPER = IDLE | {
    "challenge": "whisper", "id": "03", "name": "Whisper", "language": "en", "why": "suspicious",
    "sentence": "Please whisper these words: river, candle, window.", "spoken_by": "operator",
}  # fmt: skip
PROPOSED = WHISPER | {"state": "proposed"}
ASKED = WHISPER | {"state": "asked", "attempt": 1, "deadline_s": 30.0, "by": "operator", "who": "Ada", "why": ""}
ANSWERING = ASKED | {"state": "answering", "deadline_s": 20.0}
JUDGING = ASKED | {"state": "judging", "deadline_s": 5.0}
PASSED = JUDGING | {
    "state": "passed", "deadline_s": None, "compliance": 0.93, "realism": 1.4, "baseline": -1.1, "identity": None, "llr": 1.6,
}  # fmt: skip
FAILED = PASSED | {
    "state": "failed", "compliance": 0.1, "realism": -2.0, "identity": -1.7, "llr": -2.5,
    "reasons": ["non-compliance", "distortion", "identity-drift"],
}  # fmt: skip
BUTTON = "document.querySelector('.exam [data-action={}]')"
EXAM = text(".exam")


class Teller:
    """Tells the page of the caller of one call, each record in a tag of its own."""

    def __init__(self, service: ConsoleService, call_id: str = "a") -> None:
        self.service, self.call_id, self.seq = service, call_id, 0

    def tell(self, record: dict[str, Any] | None, verdict: str = "uncertain", **fields: Any) -> None:
        if record is not None:
            self.service.exams[self.call_id] = record
        kind = "exam" if record is not None else "tag"
        fields = {"kind": kind, "examination": record or self.service.exams.get(self.call_id)} | fields
        self.service.tag(self.call_id, verdict, self.seq, llr=-1.2, probability=0.8, **fields)
        self.seq += 1


async def open_call(page: Page, service: ConsoleService, *records: dict[str, Any] | None) -> Teller:
    """A call whose caller stands where the last record says, with its detail open."""
    teller = Teller(service)
    for record in records or (None,):
        teller.tell(record)
    await page.wait_for("document.querySelector('#rows .row')")
    await page.press("j")
    await page.press("Enter")
    await page.wait_for("!document.querySelector('#detail').hidden")
    return teller


async def sent(service: ConsoleService, count: int = 1) -> list[dict[str, Any]]:
    """What was pressed, without call and leg, once there are `count` decisions."""
    async with asyncio.timeout(10):
        while len(service.pressed) < count:
            await asyncio.sleep(0.02)
    assert {(one["call_id"], one["leg"]) for one in service.pressed} == {("a", "caller")}
    return [{k: v for k, v in one.items() if k not in ("call_id", "leg")} for one in service.pressed]


# one examination from proposal to result


async def test_from_the_suggestion_to_the_result_by_buttons(page: Page, service: ConsoleService) -> None:
    teller = await open_call(page, service, PROPOSED)
    await page.wait_for(f"{EXAM}.includes('Suggested: ask this caller') && {EXAM}.includes('You would say:')")
    service.exams["a"] = ASKED
    await page.click(".exam [data-action=ask]")
    assert await sent(service) == [{"action": "ask"}]

    teller.tell(ASKED)
    shown = await page.wait_for(f"{EXAM}.includes('Please say this to the caller:') && {EXAM}")
    assert "river, candle, window" in shown
    size = "parseFloat(getComputedStyle(document.querySelector('.exam-sentence')).fontSize)"
    assert await page.eval(size) >= 20, "it is read aloud"
    assert await page.eval(f"{BUTTON.format('answering')}.classList.contains('strong')"), "the key that is wanted now"
    service.exams["a"] = ANSWERING
    await page.click(".exam [data-action=answering]")
    assert (await sent(service, 2))[1] == {"action": "answering", "challenge": ASKED["challenge"]}

    teller.tell(ANSWERING)  # as the service does: on a busy machine the record of before may come after the reply to the press
    await page.wait_for(f"{EXAM}.includes('listening to the answer')")
    teller.tell(JUDGING)
    await page.wait_for(f"{EXAM}.includes('is being judged')")
    teller.tell(PASSED, "human-likely")
    shown = await page.wait_for(f"{EXAM}.includes('Passed: the answer speaks for a living voice') && {EXAM}")
    for words in (
        "Question 1, Whisper: passed", "yes, 93 %", "sounds alive, LLR +1.4; before the question −1.1", "cannot tell",
        "moves the call’s score by +1.6, towards living", "Decided by Ada.",
        "The tag was Uncertain before the first question; now it is Human-likely.",
    ):  # fmt: skip
        assert words in shown
    assert await page.eval("document.querySelectorAll('.exam .meter-fill').length") == 2, "no bar where nothing was measured"


async def test_from_the_suggestion_to_the_result_by_keys(page: Page, service: ConsoleService) -> None:
    teller = Teller(service)
    teller.tell(PROPOSED)
    await page.wait_for(f"{text('#rows .exam-mark')} === 'Examine?'")
    await page.press("j")
    await page.press("a")
    assert await sent(service) == [{"action": "ask"}]
    assert await page.eval("!document.querySelector('#detail').hidden"), "the sentence has to be seen"
    for key, record, action in (("n", ASKED, "answering"), ("r", ANSWERING, "repeat"), ("s", ANSWERING, "skip")):
        count = len(service.pressed)
        teller.tell(record | {"who": key})  # each is news
        await page.wait_for(f"{EXAM}.includes('Decided by {key}.')")
        service.exams["a"] = record
        await page.press(key)
        assert (await sent(service, count + 1))[-1] == {"action": action, "challenge": record["challenge"]}


async def test_a_key_asks_nobody_who_is_not_suggested(page: Page, service: ConsoleService) -> None:
    Teller(service).tell(IDLE)
    await page.wait_for("document.querySelector('#rows .row')")
    await page.press("j")
    await page.press("a")
    await page.wait_for(f"{EXAM}.includes('Nothing has been asked')")
    assert not service.pressed
    await page.press("a")  # now that it is open and seen
    assert await sent(service) == [{"action": "ask"}]


async def test_a_chosen_challenge_language_and_name_go_along(page: Page, service: ConsoleService) -> None:
    await open_call(page, service, IDLE)
    await page.eval("""(() => {
        const [challenge, language] = document.querySelectorAll('.exam-select select');
        [challenge.value, language.value] = ['high-pitch', 'fr'];
        document.querySelector('#exam-who').value = '  Ada L. ';
        document.querySelector('#exam-who').dispatchEvent(new Event('change'));
    })()""")
    await page.click(".exam [data-action=ask]")
    assert await sent(service) == [{"action": "ask", "challenge": "high-pitch", "language": "fr", "who": "Ada L."}]
    await page.wait_for("document.querySelector('.exam-select select').value === ''")
    assert await page.eval("localStorage.getItem('vivavoce-operator')") == "Ada L."


async def test_what_the_engine_plays_is_not_asked_of_the_operator(page: Page, service: ConsoleService) -> None:
    await open_call(page, service, ASKED | {"spoken_by": "engine"})
    shown = await page.wait_for(f"{EXAM}.includes('The service is playing this') && {EXAM}")
    assert "Please say" not in shown
    assert not await page.eval(f"{BUTTON.format('answering')}.classList.contains('strong')")
    assert await page.eval("document.querySelector('.exam-clock').hidden"), "nobody has to hurry"


async def test_the_time_left_counts_down_and_other_tags_do_not_wind_it_up(page: Page, service: ConsoleService) -> None:
    teller = await open_call(page, service, ANSWERING | {"deadline_s": 2.2})
    clock = text(".exam-clock")
    assert await page.wait_for(clock) in ("3 s left", "2 s left")
    teller.tell(None)  # repeats the record
    await page.wait_for(f"{clock} === '1 s left'")
    await page.wait_for(f"{clock} === 'The time is up.'")


async def test_earlier_questions_stay_in_view(page: Page, service: ConsoleService) -> None:
    teller = await open_call(page, service, ASKED, FAILED)
    second = PROPOSED | {"attempt": 1, "challenge": "sing", "name": "Sing", "why": "after failed"}
    teller.tell(second, "deepfake-likely")
    shown = await page.wait_for(f"{EXAM}.includes('one answer is not enough') && {EXAM}")
    assert "Question 1, Whisper: not passed" in shown
    for words in ("The voice of the answer is not the voice", "did not do it", "sounds synthetic, LLR −2.0", "no, 10 %"):
        assert words in shown
    teller.tell(PASSED | {"attempt": 2, "challenge": "sing", "name": "Sing"})
    await page.wait_for(f"{EXAM}.includes('Question 2, Sing: passed')")
    assert await page.eval(text(".exam-history")) == "Question 1, Whisper: not passed"
    teller.tell(PASSED | {"attempt": 2, "challenge": "sing", "name": "Sing", "state": "over"})
    shown = await page.wait_for(f"{EXAM}.includes('nothing more is asked') && {EXAM}")
    assert "Question 2, Sing: passed" in shown
