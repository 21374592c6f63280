"""A leg under examination without sockets: a player, a prompt pack and a judge made up, and the examiner between them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from challenges.catalogue import PHONE, Line
from challenges.examination import ExaminationConfig
from challenges.fusion import Judgement
from engine.audio import Chunk
from engine.call import Call, CallInfo
from engine.config import Examination as ExaminationSettings
from engine.events import Tag
from engine.session import Session
from tests.engine.test_session import CONFIG, FakeScorer
from vivavoce.examiner import Examiner
from vivavoce.judging import Before

CHUNK_S = 0.16


class Player:
    def __init__(self) -> None:
        self.playing = self.stopped = False
        self.until = self.left_s = 0.0
        self.played: list[np.ndarray] = []

    def play(self, samples: np.ndarray, rate: int, now: float) -> float:
        self.played.append(samples)
        self.playing, self.until, self.left_s = True, now + len(samples) / rate, len(samples) / rate
        return self.until

    def stop(self) -> None:
        self.playing, self.stopped = False, True

    def look(self, now: float) -> None:
        self.left_s = max(0.0, self.until - now)
        self.playing = self.playing and now < self.until


class Pack:
    def speaks(self, language: str) -> bool:
        return language == "en"

    def render(self, question: Any, rate: int) -> np.ndarray:
        return np.ones(rate, np.int16)


class Judge:
    def __init__(self, judgement: Judgement | Exception) -> None:
        self.judgement = judgement
        self.measured: list[np.ndarray] = []  # speech before the first question of each call

    measuring = False

    def before(self, samples: np.ndarray) -> Before:
        return Before(samples, self.measured.append)

    def judge(self, *_: Any) -> Judgement:
        if isinstance(self.judgement, Exception):
            raise self.judgement
        return self.judgement


class Desk:
    """One leg, an examiner, and a queue of what would run on the event loop."""

    def __init__(
        self, judge: Judge, *, mode: str = "automatic", player: Player | None = None,
        pool: tuple[str, ...] = ("sing", "whisper"), language: str = "", queue: int = 64, line: Line = PHONE,
    ) -> None:  # fmt: skip
        self.soon: list[Callable[[], None]] = []
        self.outcomes: list[Mapping[str, Any]] = []
        self.tags: list[Tag] = []
        self.now, self.index = 10.0, 0
        self.player = player
        self._rng = np.random.default_rng(3)
        self.examiner = Examiner(
            ExaminationSettings(mode=mode, pool=pool, queue=queue), ExaminationConfig(mode=mode), judge, Pack(),  # type: ignore[arg-type]
            soon=self.soon.append, chunk_s=CHUNK_S, outcome=self.outcomes.append, rng=random.Random(4),
        )  # fmt: skip
        self.judge, self.language, self.line = judge, language, line
        self.session = self.another()

    def another(self) -> Session:
        call = Call(CallInfo("c"), CONFIG, lambda pcm, rate: True, self.now)
        session = Session(call, FakeScorer(), lambda tag, at: self.tags.append(tag))  # type: ignore[arg-type]
        session.begin(self.now)
        player = (lambda: self.player) if self.player is not None else None
        self.examiner.watch(session, player, lambda: self.line, self.language)
        return session

    def suspect(self) -> None:
        """The call's own sound makes it suspicious."""
        for _ in range(5):
            self.session.on_score(-1.5, Chunk(np.zeros(1280, np.int16), 0, CHUNK_S, 0.0, self.now), self.now)
        self.hear(2000, CHUNK_S)

    def hear(self, level: float, seconds: float) -> None:
        for _ in range(round(seconds / CHUNK_S)):
            samples = (self._rng.standard_normal(1280) * level).astype(np.int16)
            assert self.session.observer is not None
            self.now += CHUNK_S
            self.session.observer(Chunk(samples, self.index, CHUNK_S if level > 1000 else 0.0, 0.0, self.now), self.now)
            self.index += 1
            if self.player is not None:
                self.player.look(self.now)
            self.examiner.tick(self.now)

    def settle(self) -> None:
        """Let the judge's thread finish, then run what it left for the loop."""
        self.examiner._thread.submit(lambda: None).result()
        for _ in range(50):
            if self.soon:
                break
            self.examiner._thread.submit(lambda: None).result()
        while self.soon:
            self.soon.pop(0)()

    @property
    def record(self) -> dict[str, Any]:
        found = self.examiner.record(self.session, self.now)
        assert found is not None
        return found
