"""Examinations of live calls: plays what is to be played, judges in a thread, publishes what was decided.

One bounded queue of answers and one thread for all calls: a judge that is busy makes callers wait for their result,
never other calls for their scores. When the queue is full an answer is left unclear, which counts for neither side.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from challenges.answer import ListenerConfig
from challenges.catalogue import PHONE, Line, by_name
from challenges.content import Question, choose, draw
from challenges.examination import Examination, ExaminationConfig
from challenges.fusion import Judgement
from challenges.languages import LANGUAGES
from challenges.prompts import PromptPack
from challenges.stages import Conclude, Judge, Play, Press, Record, Stage, sets_aside
from connectors.playout import Player
from engine.audio import Chunk
from engine.config import Examination as ExaminationSettings
from engine.events import Verdict
from engine.session import Session
from vivavoce.judging import Before, Judges

log = structlog.get_logger(__name__)

Json = dict[str, Any]
Soon = Callable[[Callable[[], None]], None]  # runs something on the event loop, from any thread
Outcome = Callable[[Mapping[str, Any]], None]
AHEAD = 8  # answers and callers in the judges' thread beyond which nothing is measured before it is needed
STALL_S = 2.0  # a prompt that is overdue, and of which nothing was sent for so long, is given up
RATE, WIDE_RATE = 8000, 16000  # Hz, of prompts: for narrow lines and to know their echo by; for wide lines


@dataclass(slots=True)
class Watch:
    """One leg under examination."""

    session: Session
    line: Callable[[], Line]  # what it carries may show only as it is heard
    player: Callable[[], Player | None] | None  # None where the leg can only be listened to
    language: str
    examination: Examination = field(init=False)
    used: list[str] = field(default_factory=list)  # content drawn already
    drawn: list[str] = field(default_factory=list)  # challenges drawn already, proposals too
    asked: list[str] = field(default_factory=list)  # challenges put to the caller
    playing: Player | None = None  # where a prompt was begun
    sources: int = 1  # streams of sound that the leg has had
    left_s: float = math.inf  # of an overdue prompt, when it last moved
    moved: float = 0.0  # and when that was
    known: Before | None = None  # what is measured of the caller's speech before the first question
    before: Verdict | None = None  # the tag when the first question was asked, or the operator decided
    overridden: bool = False  # the operator decided otherwise than the tag stood


class Examiner:
    """The examinations of all live legs."""

    def __init__(
        self, settings: ExaminationSettings, config: ExaminationConfig, judges: Judges, pack: PromptPack | None,
        *, soon: Soon, chunk_s: float, outcome: Outcome = lambda _: None, rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self._settings, self._config, self._judges, self._pack = settings, config, judges, pack
        self._soon, self._chunk_s, self._outcome = soon, chunk_s, outcome
        self._rng = rng or secrets.SystemRandom()
        self._watches: dict[int, Watch] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._waiting = 0  # answers
        self._measuring = 0  # callers whose speech before a question is being measured
        self._now = 0.0  # the latest moment anything was heard or looked at

    @property
    def watched(self) -> int:
        return len(self._watches)

    # --- legs -----------------------------------------------------------------------------------------------------

    def watch(
        self, session: Session, player: Callable[[], Player | None] | None,
        line: Callable[[], Line] = lambda: PHONE, language: str = "",
    ) -> None:  # fmt: skip
        """Follow a leg from now on; nothing with mode "off". `player` is None for what can only be listened to.

        `language` is a tag as of RFC 5646, "es-MX"; one that no question exists in gives way to `examination.language`.
        """
        if self._config.mode == "off":
            return
        watch = Watch(session, line, player, known_language(language) or self._settings.language)
        ask = partial(self._question, watch)
        watch.examination = Examination(self._config, ask, self._chunk_s, can_play=self._speaks(watch))
        self._watches[id(session)] = watch
        session.observer = partial(self._on_chunk, watch)

    def forget(self, session: Session, now: float) -> None:
        """The leg is over: its examination ends with a name, before the call's last record."""
        watch = self._watches.pop(id(session), None)
        if watch is None:
            return
        session.observer = None
        try:
            self._end(watch, now)
        except Exception:  # a fault of ours must not keep the call's ports and its place
            log.exception("examination not ended", call_id=session.call.info.call_id)

    def _end(self, watch: Watch, now: float) -> None:
        self._hush(watch)
        watch.examination.close(now)
        self._act(watch, now)
        if watch.before is not None:
            self._outcome(self._labelled(watch))

    def examining(self, session: Session) -> bool:
        """Whether a question to this leg's caller is on its way, or its answer."""
        watch = self._watches.get(id(session))
        return watch is not None and watch.examination.stage in (Stage.ASKED, Stage.ANSWERING, Stage.JUDGING)

    def record(self, session: Session, now: float) -> Json | None:
        watch = self._watches.get(id(session))
        return None if watch is None else watch.examination.record(now)

    def press(
        self, session: Session, now: float, action: str,
        *, challenge: str = "", language: str = "", who: str = "", why: str = "", verdict: str = "",
        decisions: int | None = None,
    ) -> Json | None:  # fmt: skip
        """An operator's key; None where nobody is examined. ValueError in words for the operator: it cannot be done now."""
        watch = self._watches.get(id(session))
        if watch is None:
            return None
        key = by_name(challenge).key if challenge else None
        standing, proposed, speaks = watch.language, _proposed(watch.examination), watch.examination.can_play
        watch.language = language or standing
        if action in (Press.ASK, Press.REPEAT):
            watch.examination.may_play(self._speaks(watch))
        try:
            watch.examination.press(
                Press(action), now, challenge=key, who=who, why=why, verdict=verdict,
                anew=watch.language != standing, decisions=decisions,
            )  # fmt: skip
        except ValueError:
            watch.language = standing
            watch.examination.may_play(speaks)
            raise
        if action == Press.ASK and proposed and key not in (None, proposed):
            watch.drawn.remove(proposed)  # nobody heard it: it may be asked later
        self._act(watch, now)
        return watch.examination.record(now)

    def tick(self, now: float) -> None:
        """Look at the clocks of all legs; a few times a second."""
        self._now = now
        for watch in list(self._watches.values()):
            if watch.session.call.ended:  # by a fault, before its connector knows
                self.forget(watch.session, now)
                continue
            due = watch.examination.next_timer()
            if due is not None and now >= due:
                self._guarded(watch, partial(_on_time, watch, now), now)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _on_chunk(self, watch: Watch, chunk: Chunk, now: float) -> None:
        self._now = now
        self._guarded(watch, partial(_hear, watch, chunk, now), now)

    def _guarded(self, watch: Watch, step: Callable[[], None], now: float) -> None:
        """One bad examination ends itself, not its call."""
        try:
            step()
            self._act(watch, now)
        except Exception:  # a fault of ours must not reach the packets of the call
            log.exception("examination failed", call_id=watch.session.call.info.call_id)
            watch.session.observer = None
            watch.examination.give_up(now)
            with suppress(Exception):  # what is left of it is only a record of the end
                self._act(watch, now)

    def _act(self, watch: Watch, now: float) -> None:
        for step in watch.examination.steps():
            if isinstance(step, Play):
                self._play(watch, step.question, now)
            elif isinstance(step, Judge):
                self._judge(watch, step, now)
            elif isinstance(step, Record):
                self._note(watch, step.table)
                watch.session.on_examination(step.table, now)
            elif isinstance(step, Conclude):
                verdict = Verdict(step.verdict) if step.verdict else None
                watch.before = watch.before or watch.session.call.state
                watch.overridden |= verdict not in (None, watch.session.call.state)
                told = {"passed": step.passed, "sounded": step.sounded}
                watch.session.on_examined(step.llr, step.reasons, now, **told, verdict=verdict)

    def _note(self, watch: Watch, record: Mapping[str, Any]) -> None:
        """At every step the prompt, if one still sounds, is in the way: of an early answer, of its own repetition."""
        self._hush(watch)
        watch.session.call.set_aside(sets_aside(record))
        if record["state"] == Stage.ASKED:
            watch.before = watch.before or watch.session.call.state
            if record["challenge"] not in watch.asked:
                watch.asked.append(record["challenge"])
            if watch.known is None:
                watch.known = self._judges.before(watch.examination.before())
                if self._waiting + self._measuring < AHEAD:  # else it is measured with the answer, if one is judged at all
                    self._measuring += 1
                    done = self._thread.submit(watch.known.measure, self._judges.measuring)
                    done.add_done_callback(lambda _: self._soon(self._measured))

    def _measured(self) -> None:
        self._measuring -= 1

    def _question(
        self, watch: Watch, wished: str | None, family: str | None, keeps_voice: bool, now: float
    ) -> Question | None:  # fmt: skip
        if wished is None:
            pool = self._settings.pool or None
            challenge = choose(
                watch.line(), self._rng, asked=watch.drawn, pool=pool, another_family_than=family, keeps_voice=keeps_voice
            )
        else:
            challenge = by_name(wished)
        if challenge is None:
            return None
        question = draw(challenge, watch.language, self._rng, now, used=watch.used)
        watch.drawn.append(challenge.key)
        watch.used.append(question.content)
        return question

    def _speaks(self, watch: Watch) -> bool:
        """Whether this leg can be played to in its language, as far as anybody knows before trying."""
        return self._pack is not None and self._pack.speaks(watch.language) and watch.player is not None

    def _play(self, watch: Watch, question: Question, now: float) -> None:
        player = watch.player() if watch.player is not None else None
        try:
            if self._pack is None or player is None:
                raise ValueError("nobody can be played to on this connector")
            prompt = self._pack.render(question, RATE)
            if watch.line().wideband:
                until = player.play(self._pack.render(question, WIDE_RATE), WIDE_RATE, now)
            else:
                until = player.play(prompt, RATE, now)
            watch.playing, watch.left_s = player, math.inf
        except Exception as error:  # the pack is broken, the far end is gone, or a fault of ours: somebody else may ask
            expected = isinstance(error, ValueError | OSError)
            call_id = watch.session.call.info.call_id
            log.warning("prompt not played", call_id=call_id, error=str(error)[:200], exc_info=not expected)
            _not_played(watch, now)
            self._act(watch, now)
        else:
            watch.examination.prompt_started(until, prompt, now)

    def _hush(self, watch: Watch) -> None:
        player, watch.playing = watch.playing, None  # first: one that cannot be stopped is not stopped again and again
        if player is not None and player.playing:
            player.stop()

    def _judge(self, watch: Watch, step: Judge, now: float) -> None:
        nonce = step.question.nonce
        if self._waiting >= self._settings.queue:
            watch.examination.receive_judgement(None, nonce, now)
            self._act(watch, now)
            return
        future = self._thread.submit(self._judgement, watch, step)
        self._waiting += 1
        future.add_done_callback(lambda done: self._soon(partial(self._judged, watch, nonce, done, now)))

    def _judgement(self, watch: Watch, step: Judge) -> Judgement | None:
        """In the judges' thread. An answer whose time ran out in the queue is not judged: those behind it still can be."""
        if not watch.examination.awaits(step.question.nonce):
            return None
        return self._judges.judge(step.question, step.answer, watch.line(), step.unanswered, watch.known)

    def _judged(self, watch: Watch, nonce: str, done: Future[Judgement | None], now: float) -> None:
        self._waiting -= 1
        judgement = None
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("answer not judged", error=repr(error)[:300])
        elif not done.cancelled():
            judgement = done.result()
        now = max(now, self._now)  # the limits of a next question begin now, not when this answer was handed in
        if id(watch.session) in self._watches:
            self._guarded(watch, partial(watch.examination.receive_judgement, judgement, nonce, now), now)

    def _labelled(self, watch: Watch) -> Json:
        """What later learning needs: what was asked and found, and whether the operator saw it otherwise."""
        call = watch.session.call
        return {
            "call_id": call.info.call_id, "leg": call.info.leg, "before": str(watch.before), "after": str(call.state),
            "llr": call.llr, "overridden": watch.overridden, "asked": list(watch.asked),
            "examination": watch.examination.record(),
        }  # fmt: skip


def _on_time(watch: Watch, now: float) -> None:
    """The examination's limit has passed. A busy loop delays a prompt, however long: it is heard to its end.

    One that does not move any more was not heard, and no answer to half a question is judged.
    """
    player = watch.playing
    if watch.examination.stage is not Stage.ASKED or player is None or (not player.playing and player.left_s <= 0):
        watch.examination.handle_timer(now)
    elif not player.playing:  # it broke off
        _not_played(watch, now)
    elif player.left_s < watch.left_s:
        watch.left_s, watch.moved = player.left_s, now
    elif now - watch.moved >= STALL_S:
        _not_played(watch, now)


def _not_played(watch: Watch, now: float) -> None:
    """The operator is to speak the question, or nobody has heard it: then it may be asked later, and nothing has begun."""
    question = watch.examination.question
    watch.examination.prompt_failed(now)
    if question is None or watch.examination.stage is Stage.ASKED:
        return
    for names in (watch.drawn, watch.asked):
        if question.challenge.key in names:
            names.remove(question.challenge.key)
    if not watch.examination.attempt:
        watch.known = watch.before = None


def _proposed(examination: Examination) -> str:
    """The challenge that waits for the operator; "" without one."""
    question = examination.question
    return question.challenge.key if question is not None and examination.stage is Stage.PROPOSED else ""


def _hear(watch: Watch, chunk: Chunk, now: float) -> None:
    if watch.sources != watch.session.call.sources:
        watch.sources = watch.session.call.sources
        watch.examination.new_source()
        watch.known = None
    watch.examination.receive_chunk(chunk, now)
    if watch.examination.stage is Stage.IDLE:
        watch.examination.receive_llr(watch.session.call.judged_llr, now)


def known_language(tag: str) -> str:
    """The language of questions that a tag as "es-MX" means; "" when there is none."""
    primary = tag.replace("_", "-").partition("-")[0].lower()
    return primary if primary in LANGUAGES else ""


def load_pack(settings: ExaminationSettings) -> PromptPack | None:
    """The configured prompt pack, checked; None without one. ValueError says what it lacks, before any call."""
    if not settings.prompts or settings.mode == "off":
        return None
    pack = PromptPack.load(Path(settings.prompts))
    keys = [by_name(name).key for name in settings.pool] or None
    spoken = [name for name in pack.manifest.languages if name in LANGUAGES]  # a call may be in any of them
    if missing := pack.check(list(dict.fromkeys([settings.language, *spoken])), keys):
        raise ValueError(f"{settings.prompts} lacks {len(missing)} prompts, the first: {missing[0]}")
    return pack


def examination_config(settings: ExaminationSettings, deepfake_llr: float) -> ExaminationConfig:
    """What the settings mean for every call. ValueError names an unknown challenge of `examination.pool`."""
    try:
        for name in settings.pool:
            by_name(name)
    except ValueError as error:
        raise ValueError(f"examination.pool: {error}") from None
    suspicious = settings.suspicious_llr if settings.suspicious_llr is not None else deepfake_llr / 2
    listener = ListenerConfig(begin_s=settings.answer_s)
    return ExaminationConfig(settings.mode, suspicious, settings.questions, listener)
