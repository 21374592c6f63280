"""An examination from end to end: a caller in a browser is suspected, asked, heard and judged, while an operator looks on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis.asyncio as redis

from challenges.clips import read_clip
from challenges.content import clip_texts
from challenges.fusion import BEFORE_LIMIT, BEFORE_WEIGHT, COMPLIANCE_LLR
from challenges.languages import load
from challenges.prompts import PromptPack
from challenges.words import DISTRACTORS, Recogniser
from engine.outcomes import STREAM as OUTCOMES
from tests.peers.chromium import Page, PageError, chromium
from tests.peers.console_page import LIVE, complaints, text
from tests.peers.examined_caller import HAND, alike, heard_by, keep_silent, listen, microphone
from tests.peers.redis import RealRedis
from tests.peers.service import TOKEN, Service, of_call, records, running
from vivavoce.prompts import build
from vivavoce.voices import Espeak

pytestmark = [pytest.mark.peer, pytest.mark.timeout(500)]
POOL = ("whisper", "sing")
EXAM = text(".exam")
# A browser that gets no time stretches what it plays: words as they were sent stand at 0.9, stretched ones between 0.4
# and 0.8, others below 0.5. One of so many calls is heard so well that its words can be read.
CALLS, FOUND = 3, 0.5
WORD = 7000  # samples, of a drawn word and the pause after it
WISH = "document.querySelector('.exam-ask select').value = 'sing'"  # the caller whispers: noise without a voice


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> PromptPack:
    """What the two challenges can need in English, spoken by espeak-ng."""
    if not shutil.which("espeak-ng"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("espeak-ng is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vivavoce.prompts.clip_texts", partial(clip_texts, keys=POOL))
        return build(tmp_path_factory.mktemp("prompts") / "pack", ["en"], [Espeak()])


async def call_in(service: Service, page: Page) -> str:
    """The caller presses the button and can be heard; the id of the call."""
    await page.wait_for(LIVE)
    await page.eval(HAND)
    await page.press("c")
    await listen(page)
    (call,) = (await service.ask("GET", "/v1/calls"))["calls"]
    return str(call["call_id"])


async def shown(page: Page, words: str) -> str:
    """What the page says of the examination once it says these words."""
    try:
        return str(await page.wait_for(f"{EXAM}.includes({json.dumps(words)}) && {EXAM}", 120.0))
    except PageError:
        raise AssertionError(f'"{words}" was not shown, but: {await page.eval(EXAM)}') from None


async def press(page: Page, action: str) -> None:
    """A button of the examination, wherever the page has just moved it."""
    await page.eval(f"document.querySelector('.exam [data-action={action}]').focus()")
    await page.press("Enter")


async def operate(page: Page, caller: Page) -> dict[str, str]:
    """What the operator does, and reads on the page on the way; the caller listens, and answers in turn."""
    read: dict[str, str] = {}
    await page.wait_for(f"{LIVE} && document.querySelector('#rows .row')")
    await page.press("j")
    await page.press("Enter")
    await page.wait_for("!document.querySelector('#detail').hidden")
    await page.eval("document.querySelector('#exam-who').focus()")
    await page.type("Ada")
    read["proposed"] = await shown(page, "Suggested: ask this caller")
    await keep_silent(caller, True)
    await asyncio.sleep(0.2)  # what was said until then is still on its way
    await page.eval(WISH)
    await press(page, "ask")
    read["asked"] = await shown(page, "The service is playing this")
    read["answering"] = await shown(page, "listening to the answer")
    await keep_silent(caller, False)
    read["over"] = await shown(page, "nothing more is asked")
    return read


async def examine(folder: Path, redis_url: str, pack: PromptPack) -> tuple[str, dict[str, str], np.ndarray]:
    """A whole call: its id, what the operator read, what the caller heard."""
    settings = [
        f"redis.url={redis_url}", f"examination.prompts={pack.folder}", f"examination.pool={','.join(POOL)}",
        "examination.suspicious_llr=5", "examination.questions=1",
    ]  # fmt: skip
    async with running(folder, *settings) as service, chromium(fake_wav=microphone(folder / "caller.wav")) as browser:
        operator = await browser.open(f"{service.url}/#token={TOKEN}")
        caller = await browser.open(f"{service.url}/#token={TOKEN}")
        call_id = await call_in(service, caller)
        read = await operate(operator, caller)
        heard = await heard_by(caller, folder)
        await caller.press("c")  # leads to the hang-up button
        await caller.press("Enter")
        await caller.wait_for(f"{text('.strip.call')}.includes('You hung up')")
        assert not [*complaints(operator), *complaints(caller)]
        async with asyncio.timeout(10):
            while (await service.ask("GET", "/v1/calls"))["calls"]:
                await asyncio.sleep(0.05)
    return call_id, read, heard


async def test_a_browser_caller_is_asked_heard_and_judged(tmp_path: Path, real_redis: RealRedis, pack: PromptPack) -> None:
    for attempt in range(CALLS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        call_id, read, heard = await examine(folder, real_redis.url, pack)
        told = of_call(await records(real_redis.url), call_id)
        story = [record["examination"] for record in told if record["kind"] == "exam"]
        sentence, unheard = story[1]["sentence"], not_heard(heard, story[1]["sentence"], pack)
        if not unheard:
            break
    assert not unheard
    check_story(story)
    check_judged(told, story[-2])
    assert sentence in read["asked"]
    assert sentence in read["answering"]
    assert "Question 1, Sing: not passed" in read["over"]
    assert "Asked to do something with the voice, the caller did not do it." in read["over"]
    assert "Decided by Ada" in read["over"]
    await check_outcome(real_redis.url, call_id)


def check_story(story: list[dict[str, Any]]) -> None:
    """Every step once and in order, with who took it and why."""
    assert [(one["state"], one["by"], one["who"], one["why"], one["reasons"][:1]) for one in story] == [
        ("proposed", "policy", "", "suspicious", []),
        ("asked", "operator", "Ada", "", []),
        ("answering", "operator", "Ada", "", []),
        ("judging", "operator", "Ada", "", []),
        ("failed", "operator", "Ada", "", ["non-compliance"]),
        ("over", "operator", "Ada", "", ["non-compliance"]),
    ]
    assert story[0]["challenge"] in POOL
    assert {one["challenge"] for one in story[1:]} == {"sing"}
    assert {(one["spoken_by"], one["language"]) for one in story} == {("engine", "en")}


def check_judged(told: list[dict[str, Any]], failed: dict[str, Any]) -> None:
    """What was measured is told with the result, moves the call's score, and stays a reason to the call's end."""
    assert failed["compliance"] < 0.35
    assert failed["baseline"] is not None
    assert failed["llr"] == pytest.approx(COMPLIANCE_LLR[0] + min(BEFORE_WEIGHT * failed["baseline"], BEFORE_LIMIT), abs=0.01)
    before, after = (r["llr"] for r in told if r["kind"] == "exam" and r["examination"]["state"] in ("judging", "over"))
    assert after - before == pytest.approx(failed["llr"], abs=0.01)
    assert told[-1]["kind"] == "end"
    assert {*failed["reasons"], "closed"} <= set(told[-1]["reasons"])
    assert [r["seq"] for r in told] == list(range(len(told)))


def drawn_words(sentence: str) -> list[str]:
    return sentence.rpartition(": ")[2].rstrip(".").split(", ")


def words_in(heard: np.ndarray, sentence: str, pack: PromptPack) -> list[tuple[float, int]]:
    """How surely each drawn word was heard, and where."""
    clips = [pack.manifest.clips[f"en/word/{word}"] for word in drawn_words(sentence)]
    return [alike(heard, read_clip(pack.folder, clip, 8000)) for clip in clips]


def not_heard(heard: np.ndarray, sentence: str, pack: PromptPack) -> str:
    """What is missing where the drawn words came to the caller neither in order, nor so that they can be read; or ""."""
    found = words_in(heard, sentence, pack)
    sure = [(number, at) for number, (share, at) in enumerate(found) if share > FOUND]
    places = [at for _, at in sure]
    if np.median([share for share, _ in found]) < FOUND or places != sorted(places):
        return f"words not as they were sent: {found}"
    number, at = sure[0]
    return not_read(heard[max(0, at - 1600 - number * WORD) :], drawn_words(sentence))


def not_read(said: np.ndarray, drawn: list[str]) -> str:
    """As an answer would be read: the drawn words score above any other drawing of as many; "" if they do."""
    others = [word.lower() for word in load("en").words if word.lower() not in drawn]
    order = random.Random(1).sample(others, len(others))
    beside, drawings = order[:DISTRACTORS], [order[at : at + len(drawn)] for at in range(DISTRACTORS, DISTRACTORS + 15, 5)]
    read = Recogniser().heard(said, drawn, beside)
    wrong = [Recogniser().heard(said, words, beside) for words in drawings]
    best = max(one.score or 0.0 for one in wrong)
    return "" if read.score is not None and read.score > best else f"read as {read}, others as {wrong}"


async def check_outcome(redis_url: str, call_id: str) -> None:
    """What later learning is given, once the call is over."""
    client = redis.from_url(redis_url)
    entries = await client.xrange(OUTCOMES)
    await client.aclose()
    outcomes = [json.loads(next(iter(fields.values()))) for _, fields in entries]
    (outcome,) = (one for one in outcomes if one["call_id"] == call_id)
    assert (outcome["call_id"], outcome["asked"][-1], outcome["overridden"]) == (call_id, "sing", False)
    assert outcome["examination"]["state"] == "over"
