"""One simulated call from the first word to the verdict, in media time: no socket, no thread, no clock.

The very objects of a live call are driven (Call, Policy, Examination, Judges, the streaming model), in the order in
which the service drives them; only the caller is simulated, and the line is G.711 with noise.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import webrtcvad

from challenges.catalogue import Challenge, Line, by_name
from challenges.content import Question, choose, draw
from challenges.examination import Examination, ExaminationConfig
from challenges.fusion import Judgement
from challenges.prompts import PromptPack
from challenges.stages import Conclude, Judge, Play, Press, Record, Stage, sets_aside
from challenges.words import Heard
from connectors.g711 import decode_mu_law, encode_mu_law
from connectors.mixing import MixedRecording
from engine.audio import AudioFrame, Chunk
from engine.call import Call, CallConfig, CallInfo
from engine.events import ChunkReady, Verdict
from models.runtime import OnnxModel
from vivavoce.caller_words import Say, as_loud
from vivavoce.callers import Caller
from vivavoce.judging import Judges
from vivavoce.manners import Floats, Samples, pcm

PROMPT_S = 2.5  # silence of the caller while a question is heard, where there is no pack to speak it
AFTER_S = 3.2  # of plain speech after the last question
MOST_S = 120.0  # no rehearsal is longer
FRAME = 1280  # samples handed on at once: 160 ms
ENDS = frozenset({Stage.PASSED, Stage.FAILED, Stage.UNCLEAR, Stage.NO_ANSWER, Stage.SKIPPED})


@dataclass(frozen=True)
class Rules:
    """What is the same for all rehearsals."""

    call: CallConfig
    examination: ExaminationConfig
    judges: Judges
    model: OnnxModel
    line: Line
    vad_mode: int = 2
    language: str = "en"
    pack: PromptPack | None = None  # speaks the questions
    say: Say | None = None  # says the drawn words where an answer holds them, for the recogniser; None: nothing is read


@dataclass
class Told:
    """One question of a rehearsal, and what became of it."""

    challenge: str
    how: str = ""  # what the answer was made of, as Spoken says
    stage: str = ""
    reasons: tuple[str, ...] = ()
    judgement: Judgement | None = None
    llr: float | None = None  # its evidence


@dataclass
class Outcome:
    """How a call ended."""

    verdict: Verdict
    llr: float | None
    before: Verdict  # the tag when the first question was asked
    stages: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)


class Wire:
    """The line: what the caller says, with noise `snr_db` below the level of `like`, through G.711 mu-law."""

    def __init__(self, noise: Samples, snr_db: float, like: Samples, start: int) -> None:
        wide = noise.astype(np.float64)
        gain = active_level(like) / max(1.0, float(np.sqrt((wide**2).mean()))) * 10 ** (-snr_db / 20)
        self._noise: Floats = np.roll(wide, -start % max(1, len(wide))) * gain
        self._at = 0

    def send(self, samples: Samples) -> Samples:
        at = (self._at + np.arange(len(samples))) % len(self._noise)
        self._at += len(samples)
        return decode_mu_law(encode_mu_law(pcm(samples + self._noise[at])))


def active_level(samples: Samples) -> float:
    """RMS of the 20 ms blocks within 20 dB of the loudest."""
    blocks = samples[: len(samples) // 160 * 160].reshape(-1, 160).astype(np.float64)
    power = (blocks**2).mean(axis=1) if len(blocks) else np.ones(1)
    return float(np.sqrt(power[power >= power.max() / 100].mean()))


class Rehearsal:
    """One call. `play` runs it to its end."""

    def __init__(
        self, caller: Caller, key: str, rules: Rules, noise: Samples, snr_db: float, rng: random.Random,
        recording: MixedRecording | None = None,
    ) -> None:  # fmt: skip
        """`recording` is given both sides of the call; whoever made it closes it."""
        self._recording = recording
        self._caller, self._key, self._rules, self._rng = caller, key, rules, rng
        self._judges = rules.judges if rules.say is None else replace(rules.judges, words=self._read)
        self._call = Call(CallInfo("rehearsal"), rules.call, webrtcvad.Vad(rules.vad_mode).is_speech, 0.0)
        chunk_s = rules.call.chunk_samples / rules.call.rate
        self._exam = Examination(rules.examination, self._ask, chunk_s, can_play=True)
        self._state = rules.model.init_state(1)
        self._wire = Wire(noise, snr_db, caller.talk(), rng.randrange(1 << 20))
        self._says: deque[Samples] = deque()  # what the caller is about to say
        self._now, self._sent = 0.0, 0
        self._asked: list[str] = []
        self._used: list[str] = []
        self._replies: list[tuple[int, Question]] = []  # when each answer begins, in samples of the call, and to what
        self._said_until = 0  # samples of the call by which all that is to be said will have been
        self._out = Outcome(Verdict.LISTENING, None, Verdict.LISTENING)

    def play(self) -> Outcome | None:
        """The whole call; None where this caller cannot be simulated for the challenge."""
        if not self._caller.can(self._key):
            return None
        self._hear(self._caller.talk())
        self._out.before = self._call.state
        self._exam.press(Press.ASK, self._now, who="rehearsal", challenge=self._key)
        self._act()
        while self._exam.stage not in (Stage.OVER, Stage.PASSED) and self._now < MOST_S:
            self._hear(self._next_word())
        self._hear(self._caller.talk()[: round(AFTER_S * self._rules.call.rate)])
        self._exam.close(self._now)
        self._act()
        self._out.verdict, self._out.llr = self._call.state, self._call.llr
        return self._out

    # --- sound ----------------------------------------------------------------------------------------------------

    def _next_word(self) -> Samples:
        """The next 160 ms of the caller."""
        parts: list[Samples] = []
        need = FRAME
        while need and self._says:
            piece = self._says.popleft()
            parts.append(piece[:need])
            if len(piece) > need:
                self._says.appendleft(piece[need:])
            need -= min(need, len(piece))
        return np.concatenate([*parts, np.zeros(need, np.int16)])

    def _hear(self, samples: Samples) -> None:
        whole = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
        for block in whole:
            self._now += FRAME / self._rules.call.rate
            frame = AudioFrame(self._wire.send(block), self._rules.call.rate, self._sent)
            self._sent += FRAME
            if self._recording is not None:
                self._recording.on_frame(frame, self._now)
            self._call.receive_frame(frame, self._now)
            for event in self._call.events():
                if isinstance(event, ChunkReady):
                    self._score(event.chunk)
            due = self._exam.next_timer()
            if due is not None and self._now >= due:
                self._exam.handle_timer(self._now)
            self._act()

    def _score(self, chunk: Chunk) -> None:
        scores, why, self._state = self._rules.model.judge(chunk.samples[None], self._state)
        self._call.receive_score(float(scores[0]), chunk, self._now, None if why is None else why[0].tolist())
        self._exam.receive_chunk(chunk, self._now)

    # --- the examination ------------------------------------------------------------------------------------------

    def _draw(self, key: str) -> Question:
        return draw(by_name(key), self._rules.language, self._rng, self._now, used=self._used)

    def _ask(self, wished: str | None, family: str | None, keeps_voice: bool, now: float) -> Question | None:
        challenge = by_name(wished) if wished else self._another(family, keeps_voice)
        if challenge is None:
            return None
        question = self._draw(challenge.key)
        self._asked.append(challenge.key)
        self._used.append(question.content)
        return question

    def _another(self, family: str | None, keeps_voice: bool) -> Challenge | None:
        """As the service chooses, among those that this caller can be simulated for."""
        asked = list(self._asked)
        line, rng = self._rules.line, self._rng
        while (found := choose(line, rng, asked=asked, another_family_than=family, keeps_voice=keeps_voice)) is not None:
            if self._caller.can(found.key):
                return found
            asked.append(found.key)
        return None

    def _act(self) -> None:
        for step in self._exam.steps():
            if isinstance(step, Play):
                self._out.told.append(Told(step.question.challenge.key))
                self._speak(step.question)
            elif isinstance(step, Judge):
                self._judge(step)
            elif isinstance(step, Conclude):
                self._call.receive_examination(step.llr, step.reasons, passed=step.passed, sounded=step.sounded)
                self._call.events()
            elif isinstance(step, Record):
                self._note(step)

    def _speak(self, question: Question) -> None:
        pack, rate = self._rules.pack, self._rules.call.rate
        if pack is None:
            self._exam.prompt_started(self._now + PROMPT_S, np.zeros(FRAME, np.int16), self._now)
            return
        prompt = pack.render(question, rate)
        if self._recording is not None:
            self._recording.play(prompt, rate, self._now)
        self._exam.prompt_started(self._now + len(prompt) / rate, prompt, self._now)

    def _note(self, record: Record) -> None:
        stage = Stage(record.table["state"])
        self._out.stages.append(str(stage))
        self._call.set_aside(sets_aside(record.table))
        if stage is Stage.ANSWERING and self._exam.question is not None:
            self._reply(self._exam.question)
        if stage in ENDS and self._out.told:
            self._out.told[-1].stage, self._out.told[-1].reasons = str(stage), tuple(record.table["reasons"])

    def _reply(self, question: Question) -> None:
        spoken = self._caller.answer(question)
        if spoken is not None:
            self._out.told[-1].how = spoken.how
            pause = np.zeros(round(spoken.begins_s * self._rules.call.rate), np.int16)
            begins = max(self._sent, self._said_until) + len(pause)
            self._replies.append((begins, question))
            self._said_until = begins + len(spoken.samples)
            self._says += [pause, spoken.samples]

    def _read(self, samples: Samples, question: Question) -> Heard:
        """What the recogniser makes of the answer, or of somebody who says what it would hold."""
        assert self._rules.say is not None  # or the judges' own would have been asked
        if self._rules.judges.words is None:
            return Heard(reason="no-recogniser")
        answered = [reply for begins, reply in self._replies if begins < self._sent]  # one who is late answers an older one
        said = self._caller.wording(self._rules.say((answered or [question])[-1], self._rng))
        if said is None:
            return self._rules.judges.words(samples, question)
        return self._rules.judges.words(self._wire.send(as_loud(said, active_level(samples))), question)

    def _judge(self, step: Judge) -> None:
        found = self._judges.judge(step.question, step.answer, self._rules.line, step.unanswered)
        told = self._out.told[-1]
        told.judgement = found
        self._exam.receive_judgement(found, step.question.nonce, self._now)
        told.llr = self._exam.weighed[-1].llr
        self._act()
