"""A caller and a clock for examinations: chunks of a known kind, questions drawn from a list."""

from __future__ import annotations

import random

import numpy as np

from challenges.catalogue import by_name
from challenges.content import Question, draw
from challenges.examination import Examination, ExaminationConfig
from challenges.fusion import Judgement
from challenges.stages import Record, Step
from engine.audio import Chunk

CHUNK_S = 0.16
SIZE = 1280


def sound(kind: str, rng: np.random.Generator) -> np.ndarray:
    """160 ms of "quiet" (line noise), "speech" or "whisper" (loud, but no speech to a detector)."""
    loud = {"quiet": 20.0, "speech": 3000.0, "whisper": 400.0}[kind]
    return (rng.standard_normal(SIZE) * loud).astype(np.int16)


class Caller:
    """Drives one examination; `now` runs with the audio."""

    def __init__(
        self, config: ExaminationConfig | None = None, *, can_play: bool = True,
        keys: tuple[str, ...] = ("whisper", "sing", "foreign-words"),
    ) -> None:  # fmt: skip
        self.now = 100.0
        self.index = 0
        self.steps: list[Step] = []
        self.wished: list[tuple[str | None, str | None]] = []
        self._keys = list(keys)
        self._rng, self._noise = random.Random(1), np.random.default_rng(1)
        self.exam = Examination(config or ExaminationConfig(mode="automatic"), self._ask, CHUNK_S, can_play=can_play)

    def _ask(self, wished: str | None, family: str | None, keeps_voice: bool, now: float) -> Question | None:
        self.wished.append((wished, family))
        left = [k for k in self._keys if by_name(k).family != family]
        key = wished or next((k for k in left if by_name(k).keeps_voice or not keeps_voice), left[0] if left else None)
        if key in self._keys:
            self._keys.remove(key)
        return None if key is None else draw(by_name(key), "en", self._rng, now)

    def hear(self, kind: str, seconds: float, samples: np.ndarray | None = None) -> None:
        for n in range(round(seconds / CHUNK_S)):
            audio = sound(kind, self._noise) if samples is None else samples[n * SIZE : (n + 1) * SIZE]
            chunk = Chunk(audio, self.index, CHUNK_S if kind == "speech" else 0.0, 0.0, self.now)
            self.index += 1
            self.now += CHUNK_S
            self.exam.receive_chunk(chunk, self.now)
            due = self.exam.next_timer()
            if due is not None and self.now >= due:
                self.exam.handle_timer(self.now)
            self.drain()

    def drain(self) -> list[Step]:
        fresh = self.exam.steps()
        self.steps += fresh
        return fresh

    def suspect(self, llr: float = -3.0) -> None:
        self.exam.receive_llr(llr, self.now)
        self.drain()

    def prompt(self, seconds: float = 3.0) -> None:
        """The shell has begun to play."""
        noise = (self._noise.standard_normal(round(seconds * 8000)) * 3000).astype(np.int16)
        self.exam.prompt_started(self.now + seconds, noise, self.now)

    def judged(self, compliance: float | None = None, realism: float | None = None, identity: float | None = None) -> None:
        assert self.exam.question is not None
        self.exam.receive_judgement(Judgement(compliance, realism, None, identity), self.exam.question.nonce, self.now)
        self.drain()

    @property
    def states(self) -> list[str]:
        return [step.table["state"] for step in self.steps if isinstance(step, Record)]
