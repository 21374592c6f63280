"""Examinations of live calls: plays what is to be played, judges in a thread, publishes what was decided.

One bounded queue of answers and one thread for all calls: a judge that is busy makes callers wait for their result,
never other calls for their scores. When the queue is full an answer is left unclear, which counts for neither side.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from challenges.answer import ListenerConfig
from challenges.catalogue import PHONE, Line, by_name
from challenges.content import Question, choose, draw
from challenges.examination import Conclude, Examination, ExaminationConfig, Judge, Play, Press, Record, Stage
from challenges.fusion import Judgement
from challenges.prompts import PromptPack
from connectors.playout import Player
from engine.audio import Chunk
from engine.config import Examination as ExaminationSettings
from engine.events import Verdict
from engine.session import Session
from vivavoce.judging import Judges

log = structlog.get_logger(__name__)

Json = dict[str, Any]
Soon = Callable[[Callable[[], None]], None]  # runs something on the event loop, from any thread
Outcome = Callable[[Mapping[str, Any]], None]
RATE = 8000  # Hz, of what is rendered for the echo


@dataclass(slots=True)
class Watch:
    """One leg under examination."""

    session: Session
    line: Line
    player: Callable[[], Player | None]
    language: str
    examination: Examination = field(init=False)
    used: list[str] = field(default_factory=list)  # content asked already
    asked: list[str] = field(default_factory=list)  # challenges asked already
    before: Verdict | None = None  # the tag when the first question was asked
    baseline: float | None = None  # the call's log-likelihood ratio when the standing question was asked


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
        self._waiting = 0
        self._now = 0.0  # the latest moment anything was heard or looked at

    @property
    def watched(self) -> int:
        return len(self._watches)

    # --- legs -----------------------------------------------------------------------------------------------------

    def watch(
        self, session: Session, player: Callable[[], Player | None] | None, line: Line = PHONE, language: str = ""
    ) -> None:
        """Follow a leg from now on; nothing with mode "off". `player` is None for what can only be listened to."""
        if self._config.mode == "off":
            return
        watch = Watch(session, line, player or (lambda: None), language or self._settings.language)
        can_play = self._pack is not None and player is not None
        ask = partial(self._question, watch)
        watch.examination = Examination(self._config, ask, self._chunk_s, can_play=can_play)
        self._watches[id(session)] = watch
        session.observer = partial(self._on_chunk, watch)

    def forget(self, session: Session, now: float) -> None:
        """The leg is over: its examination ends with a name, before the call's last record."""
        watch = self._watches.pop(id(session), None)
        if watch is None:
            return
        session.observer = None
        running = watch.examination.stage not in (Stage.IDLE, Stage.OVER)
        watch.examination.close(now)
        if running:
            self._act(watch, now)
        if watch.before is not None:
            self._outcome(self._labelled(watch))

    def record(self, session: Session, now: float) -> Json | None:
        watch = self._watches.get(id(session))
        return None if watch is None else watch.examination.record(now)

    def press(self, session: Session, now: float, action: str, **wishes: str) -> Json:
        """An operator's key. ValueError in words for the operator when it cannot be done now."""
        watch = self._watches.get(id(session))
        if watch is None:
            raise ValueError("examinations are switched off (examination.mode)")
        challenge = wishes.pop("challenge", "") or None
        watch.language = wishes.pop("language", "") or watch.language
        key = None if challenge is None else by_name(challenge).key
        if action in (Press.SKIP, Press.REPEAT, Press.STOP, Press.ACCEPT, Press.OVERRIDE, Press.ANSWERING):
            self._hush(watch)
        watch.examination.press(Press(action), now, challenge=key, **wishes)
        self._act(watch, now)
        return watch.examination.record(now)

    def tick(self, now: float) -> None:
        """Look at the clocks of all legs; a few times a second."""
        self._now = now
        for watch in list(self._watches.values()):
            due = watch.examination.next_timer()
            if due is not None and now >= due:
                self._guarded(watch, partial(watch.examination.handle_timer, now), now)

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
            self._watches.pop(id(watch.session), None)
            watch.session.observer = None
            watch.session.on_examination({**watch.examination.record(), "state": "over", "reasons": ["judge-failed"]}, now)

    def _act(self, watch: Watch, now: float) -> None:
        for step in watch.examination.steps():
            if isinstance(step, Play):
                self._play(watch, step.question, now)
            elif isinstance(step, Judge):
                self._judge(watch, step, now)
            elif isinstance(step, Record):
                self._note_stage(watch, Stage(step.table["state"]))
                watch.session.on_examination(step.table, now)
            elif isinstance(step, Conclude):
                verdict = Verdict(step.verdict) if step.verdict else None
                watch.session.on_examined(step.llr, step.reasons, verdict, now)

    def _note_stage(self, watch: Watch, stage: Stage) -> None:
        if stage is Stage.ASKED:
            watch.before = watch.before or watch.session.call.state
            watch.baseline = watch.session.call.llr
        elif stage is Stage.ANSWERING:  # also over the prompt, which is then in the way
            self._hush(watch)

    def _question(self, watch: Watch, wished: str | None, family: str | None, now: float) -> Question | None:
        if wished is None:
            pool = self._settings.pool or None
            challenge = choose(watch.line, self._rng, asked=watch.asked, pool=pool, another_family_than=family)
        else:
            challenge = by_name(wished)
        if challenge is None:
            return None
        question = draw(challenge, watch.language, self._rng, now, used=watch.used)
        watch.asked.append(challenge.key)
        watch.used.append(question.content)
        return question

    def _play(self, watch: Watch, question: Question, now: float) -> None:
        player = watch.player()
        try:
            if self._pack is None or player is None:
                raise ValueError("nobody can be played to on this connector")
            prompt = self._pack.render(question, RATE)
            until = player.play(prompt, RATE, now)
        except Exception as error:  # the pack is broken, the far end is gone, or a fault of ours: somebody else may ask
            expected = isinstance(error, ValueError | OSError)
            call_id = watch.session.call.info.call_id
            log.warning("prompt not played", call_id=call_id, error=str(error)[:200], exc_info=not expected)
            watch.examination.prompt_failed(now)
            self._act(watch, now)
        else:
            watch.examination.prompt_started(until, prompt, now)

    def _hush(self, watch: Watch) -> None:
        player = watch.player()
        if player is not None and player.playing:
            player.stop()

    def _judge(self, watch: Watch, step: Judge, now: float) -> None:
        nonce = step.question.nonce
        if self._waiting >= self._settings.queue:
            watch.examination.receive_judgement(None, nonce, now)
            self._act(watch, now)
            return
        self._waiting += 1
        future = self._thread.submit(
            self._judges.judge, step.question, step.answer, watch.baseline, watch.line
        )
        future.add_done_callback(lambda done: self._soon(partial(self._judged, watch, nonce, done, now)))

    def _judged(self, watch: Watch, nonce: str, done: Future[Judgement], now: float) -> None:
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
            "llr": call.llr, "overridden": "operator-override" in call.tag().reasons, "asked": list(watch.asked),
            "examination": watch.examination.record(),
        }  # fmt: skip


def _hear(watch: Watch, chunk: Chunk, now: float) -> None:
    watch.examination.receive_chunk(chunk, now)
    if watch.examination.stage is Stage.IDLE:
        watch.examination.receive_llr(watch.session.call.judged_llr, now)


def load_pack(settings: ExaminationSettings) -> PromptPack | None:
    """The configured prompt pack, checked; None without one. ValueError says what it lacks, before any call."""
    if not settings.prompts or settings.mode == "off":
        return None
    pack = PromptPack.load(Path(settings.prompts))
    keys = [by_name(name).key for name in settings.pool] or None
    if missing := pack.check([settings.language], keys):
        raise ValueError(f"{settings.prompts} lacks {len(missing)} prompts, the first: {missing[0]}")
    return pack


def examination_config(settings: ExaminationSettings, deepfake_llr: float) -> ExaminationConfig:
    suspicious = settings.suspicious_llr if settings.suspicious_llr is not None else deepfake_llr / 2
    listener = ListenerConfig(begin_s=settings.answer_s)
    return ExaminationConfig(settings.mode, suspicious, settings.questions, listener)
