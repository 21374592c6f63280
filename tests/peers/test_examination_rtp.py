"""Simulated callers against a running service: plain RTP both ways, tags in a real Redis, keys over HTTP."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from challenges.catalogue import by_name
from challenges.content import Question, clip_texts, draw
from challenges.prompts import LEAD_S, WORD_S, PromptPack
from connectors.g711 import decode_mu_law
from tests.challenges.voices import voice, whisper
from tests.peers.redis import RealRedis
from tests.peers.rtp_caller import RATE, RtpCaller
from tests.peers.service import Service, of_call, records, running
from vivavoce.caller_words import as_loud, said
from vivavoce.callers import CALLERS, Caller, Person, Recording, Stock
from vivavoce.manners import Samples
from vivavoce.prompts import build
from vivavoce.samples import SAMPLES, mu_law
from vivavoce.voices import Espeak

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
POOL = ("whisper", "sing")
ANSWER_S = 4.0  # to begin an answer
NAMES = ("honest", "refuser", "silent", "late")


def person() -> Person:
    speech = decode_mu_law(mu_law(next(sample for sample in SAMPLES if sample.name == "person-1").path))
    return Person("person-1", speech[: 4 * RATE], speech[6 * RATE : 14 * RATE])


STOCK = Stock(
    (
        Recording("whispering", "made up", "", whisper(3.5)[RATE // 2 : -RATE // 2]),
        Recording("singing_note", "made up", "", voice(3.5, 220, wobble=0.02, syllables=0.7)[RATE // 2 : -RATE // 2]),
    )
)


@dataclass
class Story:
    """One call: what was published, what was played to the caller, and the sentences asked."""

    told: list[dict[str, Any]]
    heard: np.ndarray
    packets: list[tuple[int, int, bool, bytes]]

    @property
    def exams(self) -> list[dict[str, Any]]:
        return [record["examination"] for record in self.told if record["kind"] == "exam"]

    @property
    def states(self) -> list[str]:
        return [exam["state"] for exam in self.exams]

    def last(self, state: str) -> dict[str, Any]:
        return next(exam for exam in reversed(self.exams) if exam["state"] == state)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> PromptPack:
    """What the two challenges can need in English, spoken by espeak-ng."""
    if not shutil.which("espeak-ng"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("espeak-ng is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vivavoce.prompts.clip_texts", partial(clip_texts, keys=POOL))
        return build(tmp_path_factory.mktemp("prompts") / "pack", ["en"], [Espeak()])


async def start(stack: AsyncExitStack, folder: Path, mode: str, *more: str) -> tuple[Service, str]:
    """A service whose every call is suspicious after two seconds of speech."""
    redis = RealRedis(folder)
    await redis.start()
    stack.push_async_callback(redis.kill)
    settings = (
        f"redis.url={redis.url}", f"examination.mode={mode}", f"examination.pool={','.join(POOL)}",
        "examination.suspicious_llr=50", f"examination.answer_s={ANSWER_S}", "tags.min_speech_s=2", *more,
    )  # fmt: skip
    return await stack.enter_async_context(running(folder, *settings)), redis.url


async def record_of(service: Service, call_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await service.ask("GET", f"/v1/calls/{call_id}/examination")
    return found


async def until(service: Service, call_id: str, *states: str, seconds: float = 120.0) -> dict[str, Any]:
    """The examination's record once it is in one of `states`."""
    deadline = time.monotonic() + seconds
    while (record := await record_of(service, call_id))["state"] not in states:
        assert time.monotonic() < deadline, f"the examination is not {' or '.join(states)}, but: {record}"
        await asyncio.sleep(0.1)
    return record


def spoken_by(caller: Caller, question: Question) -> Samples:
    """The caller's answer; whispers are read, so that who does the task has to whisper the very words."""
    if caller.name == "late":  # it falls into the next prompt, and a whisper does not cut one off
        return caller.person.spare[: 3 * RATE]
    spoken = caller.answer(question)
    assert spoken is not None
    if caller.name != "honest" or question.challenge.key != "whisper":
        return spoken.samples
    return as_loud(said(question, random.Random(1)), 1500.0)


async def live(service: Service, name: str) -> RtpCaller:
    """One automatic examination, from the call's first word until nothing more is asked."""
    caller: Caller = CALLERS[name](person(), STOCK, random.Random(1))
    ticket = await service.ask("POST", "/v1/calls", 201, json={"call_id": name})
    async with RtpCaller(ticket["legs"]["caller"]) as phone:
        phone.say(caller.talk())
        answered = 0
        async with asyncio.timeout(400):
            while (record := await record_of(service, name))["state"] not in ("passed", "over"):
                if record["state"] == "answering" and record["attempt"] > answered:
                    answered = record["attempt"]
                    asked = draw(by_name(record["challenge"]), "en", random.Random(1), 0.0)
                    asked = replace(asked, words=tuple(re.findall(r"[a-z]+", record["sentence"].split(":")[1].lower())))
                    phone.say(spoken_by(caller, asked), ANSWER_S + 1.5 if name == "late" else 0.3)
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)
    await service.ask("DELETE", f"/v1/calls/{name}")
    return phone


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stories(pack: PromptPack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Story]]:
    """Four callers at once against a service that asks by itself."""
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("automatic")
        service, url = await start(stack, folder, "automatic", f"examination.prompts={pack.folder}")
        phones = await asyncio.gather(*(live(service, name) for name in NAMES))
        await asyncio.sleep(0.4)
        found = await records(url)
        yield {name: Story(of_call(found, name), phone.heard, phone.packets) for name, phone in zip(NAMES, phones, strict=True)}


@pytest.mark.parametrize("name", NAMES)
async def test_the_records_tell_the_story_in_order(stories: dict[str, Story], name: str) -> None:
    story = stories[name]
    assert story.states[0] == "asked"
    assert story.states[-1] in ("passed", "over")
    assert [record["seq"] for record in story.told] == list(range(len(story.told)))
    allowed = {
        "asked": {"answering"}, "answering": {"judging", "no-answer"}, "judging": {"passed", "failed", "unclear"},
        "no-answer": {"asked", "over"}, "failed": {"asked", "over"}, "unclear": {"asked", "over"}, "passed": {"asked", "over"},
    }  # fmt: skip
    for before, after in pairwise(story.states):
        assert after in allowed[before], story.states
    for exam in story.exams:
        assert (exam["by"], exam["spoken_by"], exam["language"]) == ("policy", "engine", "en")
    assert story.told[-1]["kind"] == "end"
    asked = [exam["challenge"] for exam in story.exams if exam["state"] == "asked"]
    assert len({by_name(key).family for key in asked}) == len(asked), "the second question is of another family"


def judged_of(story: Story) -> list[dict[str, Any]]:
    """What was judged; on a machine that has no time for a judge, an answer may be left unclear."""
    ends = [exam for exam in story.exams if exam["state"] in ("passed", "failed", "unclear")]
    return [exam for exam in ends if exam["reasons"] != ["judge-failed"]]


async def test_who_does_the_task_is_found_to_have_done_it(stories: dict[str, Story]) -> None:
    judged = judged_of(stories["honest"])
    assert judged
    for exam in judged:
        assert exam["compliance"] is not None, (exam["state"], exam["reasons"], exam["realism"])
        assert exam["compliance"] > 0.5, exam
        assert "non-compliance" not in exam["reasons"]


async def test_who_talks_of_something_else_has_not_done_it_and_is_asked_another(stories: dict[str, Story]) -> None:
    story = stories["refuser"]
    judged = judged_of(story)
    assert story.states.count("asked") == 2
    assert judged
    assert all(exam["compliance"] < 0.35 and "non-compliance" in exam["reasons"] for exam in judged), judged
    assert story.told[-1]["tag"] != "human-likely"


async def test_silence_is_no_answer_and_no_evidence(stories: dict[str, Story]) -> None:
    story = stories["silent"]
    assert story.states == ["asked", "answering", "no-answer"] * 2 + ["over"]
    assert story.last("no-answer")["reasons"] == ["late"]
    before = next(record for record in story.told if record["kind"] == "exam")
    assert not {"non-compliance", "distortion", "identity-drift"} & set(story.told[-1]["reasons"])
    assert story.told[-1]["tag"] == before["tag"] or story.told[-1]["tag"] in ("uncertain", "human-likely", "unknown")


async def test_a_late_answer_is_not_awaited(stories: dict[str, Story]) -> None:
    story = stories["late"]
    assert story.states[:4] == ["asked", "answering", "no-answer", "asked"]
    assert story.last("no-answer")["reasons"] == ["late"]


@pytest.mark.parametrize("name", NAMES)
async def test_what_the_caller_hears_is_the_prompt(stories: dict[str, Story], pack: PromptPack, name: str) -> None:
    story = stories[name]
    asked = [exam for exam in story.exams if exam["state"] == "asked"]
    for exam in asked if name != "late" else asked[:1]:
        assert likeness(story.heard, spoken(pack, exam)) > 0.98, exam["sentence"]


async def test_a_prompt_that_is_answered_too_early_is_hushed(stories: dict[str, Story], pack: PromptPack) -> None:
    """The late one's first answer falls into the second question."""
    story = stories["late"]
    first, second = (spoken(pack, exam) for exam in story.exams if exam["state"] == "asked")
    first = np.pad(first, (0, -len(first) % 160))  # whole packets
    cut = len(story.heard) - len(first)
    assert 0.2 * RATE < cut < len(second) - RATE
    assert likeness(story.heard, np.concatenate([first, second[: cut - RATE // 10]])) > 0.98


async def test_the_prompt_s_packets_are_a_proper_stream(stories: dict[str, Story]) -> None:
    packets = stories["silent"].packets
    assert packets[0][2], "the first packet of a talk spurt is marked"
    for (sequence, timestamp, *_), (after, later, marker, _) in pairwise(packets):
        assert after == sequence + 1 & 0xFFFF
        step = later - timestamp & 0xFFFFFFFF
        assert step > 160 if marker else step == 160, "time goes on over a pause, and only over a pause"
    assert sum(marker for _, _, marker, _ in packets) >= 2, "a spurt per question; more where the machine was held up"
    assert {len(payload) for *_, payload in packets} == {160}


async def test_an_operator_asks_hears_and_decides(pack: PromptPack, tmp_path: Path) -> None:
    honest = CALLERS["honest"](person(), STOCK, random.Random(1))
    async with AsyncExitStack() as stack:
        service, url = await start(stack, tmp_path, "operator", f"examination.prompts={pack.folder}")
        ticket = await service.ask("POST", "/v1/calls", 201, json={"call_id": "ada"})
        phone = await stack.enter_async_context(RtpCaller(ticket["legs"]["caller"]))
        phone.say(honest.talk())
        assert (await until(service, "ada", "proposed"))["by"] == "policy"
        assert not phone.packets, "a proposal is not heard by the caller"
        asked = await press(service, "ada", action="ask", challenge="whisper", who="Ada", why="sounds flat")
        assert (asked["state"], asked["challenge"], asked["spoken_by"]) == ("asked", "whisper", "engine")
        refusal = await press(service, "ada", 409, action="ask", who="Ada")
        assert "already" in refusal["error"]["message"]
        await until(service, "ada", "answering")
        phone.say(honest.answer(draw(by_name("whisper"), "en", random.Random(1), 0.0)).samples, 0.3)  # type: ignore[union-attr]
        judged = await until(service, "ada", "passed", "failed", "unclear", "proposed")
        assert judged["attempt"] == 1
        await press(service, "ada", action="accept", who="Ada", why="I know her")
        await service.ask("DELETE", "/v1/calls/ada")
        await asyncio.sleep(0.4)
        story = Story(of_call(await records(url), "ada"), phone.heard, phone.packets)
    assert story.states[:4] == ["proposed", "asked", "answering", "judging"]
    assert story.last("judging")["who"] == "Ada"
    assert story.last("asked")["why"] == "sounds flat"
    assert (story.exams[-1]["state"], story.exams[-1]["by"], story.exams[-1]["why"]) == ("over", "operator", "I know her")
    assert (story.told[-1]["tag"], "operator-accepted" in story.told[-1]["reasons"]) == ("human-likely", True)
    assert likeness(story.heard, spoken(pack, story.last("asked"))) > 0.98


async def test_without_prompts_the_operator_speaks_and_says_when_the_caller_answers(tmp_path: Path) -> None:
    refuser = CALLERS["refuser"](person(), STOCK, random.Random(1))
    async with AsyncExitStack() as stack:
        service, url = await start(stack, tmp_path, "operator")
        ticket = await service.ask("POST", "/v1/calls", 201, json={"call_id": "bea"})
        phone = await stack.enter_async_context(RtpCaller(ticket["legs"]["caller"]))
        phone.say(refuser.talk())
        await until(service, "bea", "proposed")
        asked = await press(service, "bea", action="ask", challenge="sing", who="Bea")
        assert asked["spoken_by"] == "operator"
        assert asked["sentence"]
        assert (await press(service, "bea", action="answering", who="Bea"))["state"] == "answering"
        phone.say(refuser.answer(draw(by_name("sing"), "en", random.Random(1), 0.0)).samples, 0.3)  # type: ignore[union-attr]
        await until(service, "bea", "failed", "unclear", "proposed")
        await press(service, "bea", action="override", who="Bea", verdict="deepfake-likely", why="would not sing")
        await service.ask("DELETE", "/v1/calls/bea")
        await asyncio.sleep(0.4)
        story = Story(of_call(await records(url), "bea"), phone.heard, phone.packets)
    assert not phone.packets
    judged = next(exam for exam in story.exams if exam["llr"] is not None)
    assert "non-compliance" in judged["reasons"]
    assert story.states[-1] == "over"
    assert (story.told[-1]["tag"], "operator-override" in story.told[-1]["reasons"]) == ("deepfake-likely", True)


async def press(service: Service, call_id: str, status: int = 200, **decision: str) -> dict[str, Any]:
    found: dict[str, Any] = await service.ask("POST", f"/v1/calls/{call_id}/examination", status, json=decision)
    return found


def spoken(pack: PromptPack, exam: dict[str, Any]) -> np.ndarray:
    """What the pack says for a sentence: the instruction, a pause, word by word."""
    texts = clip_texts("en", [exam["challenge"]])
    heads = {name: text for name, (text, _) in texts.items() if "/instruction/" in name}
    head = next(name for name, text in heads.items() if exam["sentence"].startswith(text))
    words = exam["sentence"].removeprefix(heads[head]).strip(" .").split(", ")
    parts = [clip(pack, head)]
    for index, word in enumerate(words):
        parts += [np.zeros(round((WORD_S if index else LEAD_S) * RATE), np.int16), clip(pack, f"en/word/{word}")]
    return np.concatenate(parts)


def clip(pack: PromptPack, name: str) -> np.ndarray:
    return pack._clip(name, RATE)


def likeness(heard: np.ndarray, prompt: np.ndarray) -> float:
    """The largest normalised correlation of the prompt with any part of what was heard."""
    size = 1 << (len(heard) + len(prompt)).bit_length()
    wide, short = heard.astype(float), prompt.astype(float)
    scores = np.fft.irfft(np.fft.rfft(wide, size) * np.conj(np.fft.rfft(short, size)), size)[: len(heard) - len(prompt) + 1]
    energy = np.concatenate([[0.0], np.cumsum(wide**2)])
    power = energy[len(short) :] - energy[: len(energy) - len(short)]
    return float((scores / np.sqrt(np.maximum(power, 1.0) * (short**2).sum())).max())
