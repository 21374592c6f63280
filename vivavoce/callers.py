"""Simulated callers: what each would be heard saying before a question and in answer to it. No sockets, no clock.

The honest one does the task; the others are the ways round it that PITCH (arXiv 2402.18085, section 5) and the practice
of real-time voice conversion suggest. All sound is int16 [n] at 8 kHz, before the line.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from challenges.catalogue import CATALOGUE
from challenges.content import Question
from vivavoce import manners
from vivavoce.manners import RATE, Samples

ANSWER_S = 4.0  # a made answer's length at the pace of plain speech
PAUSE_WITHIN_S = 0.8  # of that length a piece of speech is cut where it is softest
PLAYED_DB = -10.0  # music or a second voice beside the caller's own


@dataclass(frozen=True)
class Recording:
    """Somebody doing something on purpose."""

    activity: str  # as the corpus's challenge folder calls it
    speaker: str
    split: str
    samples: Samples


@dataclass(frozen=True)
class Person:
    """Plain speech of one person, from different recordings."""

    name: str
    talk: Samples  # heard before a question
    spare: Samples  # what answers are made of


@dataclass(frozen=True)
class Stock:
    """What callers can draw on beside their own voice."""

    recordings: Sequence[Recording] = ()
    played: Mapping[str, Samples] = field(default_factory=dict)  # challenge -> what is played back for it
    neural: Callable[[Samples, int], Samples] | None = None  # (speech, seed) -> revoiced by a neural vocoder


@dataclass(frozen=True)
class Spoken:
    """One answer."""

    samples: Samples
    how: str  # "recording": of that activity; "processed": plain speech, by signal processing; "plain"; "nothing"
    begins_s: float = 0.6  # after the prompt's end


ACTIVITIES: Mapping[str, tuple[str, ...]] = {
    "whisper": ("whispering",),
    "read-quickly": ("speaking_fast",),
    "read-slowly": ("speaking_slow",),
    "high-pitch": ("high_pitch",),
    "low-pitch": ("low_creaky_voice",),
    "accent": ("accented_english",),
    "sing": ("singing_note",),
    "emotions": tuple(f"emotional_{name}" for name in ("angry", "happy", "sad", "fear", "disgust", "surprised")),
    "cough-whistle": ("coughing",),
    "clap": ("clapping",),
}
ANYBODY = frozenset({"whisper", "sing", "cough-whistle", "clap"})  # judged without regard to whose voice it is
GAPS_S: Mapping[str, float] = {"clap": 0.4, "sing": 0.05}  # between joined recordings; else 0.2
Manner = Callable[[Samples, random.Random], Samples]
MANNERS: Mapping[str, Manner] = {
    "read-quickly": lambda x, rng: manners.faster(x, rng.uniform(1.35, 1.6)),
    "read-slowly": lambda x, rng: manners.faster(x, rng.uniform(0.55, 0.7)),
    "high-pitch": lambda x, rng: manners.pitched(x, rng.uniform(1.4, 1.7)),
    "low-pitch": lambda x, rng: manners.pitched(x, rng.uniform(0.72, 0.82)),
    "speak-loudly": lambda x, rng: manners.tilted(x, rng.uniform(6, 10), rng.uniform(3, 5)),
    "speak-softly": lambda x, rng: manners.tilted(x, -rng.uniform(7, 11), -rng.uniform(3, 5)),
    "cup-mouth": lambda x, rng: manners.muffled(x),
    "hold-nose": lambda x, rng: manners.nasal(x),
    "question": lambda x, rng: manners.rising(x, rng.uniform(1.4, 1.7)),
}
IN_MANNER: Mapping[str, Manner] = {**MANNERS, "whisper": lambda x, rng: manners.whispered(x)}  # of words that are read
PLAYBACK = frozenset({"crosstalk", "instrumental-playback", "lyric-playback"})
PLAIN = frozenset({"foreign-words", "accent"})  # any speech does the task as far as is measured without a recogniser


class Caller:
    """One caller of one call; what it draws, it draws from `rng`, so that a seed gives the same call again."""

    name: ClassVar[str]

    def __init__(self, person: Person, stock: Stock, rng: random.Random) -> None:
        self.person, self.stock, self.rng = person, stock, rng

    def talk(self) -> Samples:
        """Plain speech, before a question and after it."""
        return self.person.talk

    def can(self, key: str) -> bool:
        """Whether this caller can be simulated for challenge `key`: `answer` gives something for it."""
        return True

    def answer(self, question: Question) -> Spoken | None:
        """What is said to `question`; None where `can` says no."""
        raise NotImplementedError

    def wording(self, said: Samples) -> Samples | None:
        """How the drawn words sound when this caller says them, `said` being somebody's saying them in the manner asked;
        None where the answer does not hold them."""
        return None

    def _plain(self, seconds: float = ANSWER_S) -> Samples:
        """A piece of the person's speech that was not heard before."""
        return piece(self.person.spare, seconds, self.rng)


class Honest(Caller):
    """A person who does the task."""

    name = "honest"

    def can(self, key: str) -> bool:
        return bool(self._fitting(key)) or (key in PLAYBACK and key in self.stock.played) or key in MANNERS or key in PLAIN

    def answer(self, question: Question) -> Spoken | None:
        return self.does(question.challenge.key)

    def wording(self, said: Samples) -> Samples | None:
        return said

    def does(self, key: str) -> Spoken | None:
        """The task of challenge `key` done: recorded where somebody was, else made of plain speech where that is honest."""
        if (found := self._recorded(key)) is not None:
            return Spoken(found, "recording")
        if key in PLAYBACK and key in self.stock.played:
            return Spoken(mixed(self._plain(), self.stock.played[key], PLAYED_DB), "processed")
        if key in MANNERS:
            return Spoken(MANNERS[key](self._plain(), self.rng), "processed")
        return Spoken(self._plain(), "plain") if key in PLAIN else None

    def _fitting(self, key: str) -> list[Recording]:
        """Recordings of the activity: the caller's own, else anybody's where that makes no difference."""
        fitting = [r for r in self.stock.recordings if r.activity in ACTIVITIES.get(key, ())]
        own = [r for r in fitting if r.speaker == self.person.name]
        return own or (fitting if key in ANYBODY else [])

    def _recorded(self, key: str) -> Samples | None:
        """Recordings of one person, joined until long enough for an answer."""
        fitting = self._fitting(key)
        if not fitting:
            return None
        one = self.rng.choice(fitting)
        same = [r for r in fitting if (r.speaker, r.activity) == (one.speaker, one.activity) and r is not one]
        gap = np.zeros(round(GAPS_S.get(key, 0.2) * RATE), np.int16)
        parts, need = [one.samples], max(ANSWER_S, CATALOGUE[key].min_s) * RATE
        for other in self.rng.sample(same, len(same)):
            if sum(map(len, parts)) >= need:
                break
            parts += [gap, other.samples]
        return np.concatenate(parts)[: round(CATALOGUE[key].max_s * RATE)]


class Refuser(Caller):
    """A person who goes on talking of something else."""

    name = "refuser"

    def answer(self, question: Question) -> Spoken:
        return Spoken(self._plain(), "plain")


class Silent(Caller):
    """A person who says nothing."""

    name = "silent"

    def answer(self, question: Question) -> Spoken:
        return Spoken(np.zeros(0, np.int16), "nothing")


class Late(Honest):
    """A person who does the task when the time is over."""

    name = "late"
    begins_s = 12.0  # after the limit for beginning an answer

    def answer(self, question: Question) -> Spoken | None:
        done = self.does(question.challenge.key)
        return None if done is None else Spoken(done.samples, done.how, self.begins_s)


class Replayer(Honest):
    """Real recordings of the person are played: only the task is another than was asked."""

    name = "replayer"

    def can(self, key: str) -> bool:
        return True

    def wording(self, said: Samples) -> None:
        return None

    def answer(self, question: Question) -> Spoken | None:
        asked = question.challenge
        others = [c.key for c in CATALOGUE.values() if c.family != asked.family and c.key not in PLAIN | PLAYBACK]
        for key in self.rng.sample(others, len(others)):
            done = self.does(key)
            if done is not None:
                return done
        return None


class Converter(Honest):
    """Somebody who does the task behind a voice converter: every sound is re-voiced and brought to one level."""

    name = "converter"

    def __init__(self, person: Person, stock: Stock, rng: random.Random) -> None:
        super().__init__(person, stock, rng)
        step = rng.uniform(2.5, 5.0) * rng.choice((-1, 1))  # semitones to the other voice
        self._pitch = 2 ** (step / 12)
        self._formants = 1 + (0.05 + 0.02 * abs(step)) * (1 if step > 0 else -1)
        self._seed = rng.getrandbits(32)
        self._talk: Samples | None = None

    def can(self, key: str) -> bool:
        return True

    def talk(self) -> Samples:
        if self._talk is None:
            self._talk = self.convert(self.person.talk)
        return self._talk

    def answer(self, question: Question) -> Spoken:
        done = self.does(question.challenge.key) or Spoken(self._plain(), "plain")
        return Spoken(self.convert(done.samples), done.how, done.begins_s + 0.3)  # a converter's own delay

    def wording(self, said: Samples) -> Samples:
        return self.convert(said)

    def convert(self, samples: Samples) -> Samples:
        return manners.levelled(manners.revoice(samples, self._pitch, self._formants))


class NeuralConverter(Converter):
    """The same with a neural vocoder's voice."""

    name = "neural-converter"

    def convert(self, samples: Samples) -> Samples:
        if self.stock.neural is None:
            raise ValueError("a neural converter needs a vocoder's weights")
        return manners.levelled(self.stock.neural(samples, self._seed))


class Muter(Converter):
    """A converter that is switched off for the task: the answer is in the attacker's own voice."""

    name = "muter"

    def wording(self, said: Samples) -> Samples:
        return said

    def answer(self, question: Question) -> Spoken:
        return self.does(question.challenge.key) or Spoken(self._plain(), "plain")


class Mixer(Converter):
    """A converter beside which real sounds are mixed in: played music and voices, claps and coughs come through clean."""

    name = "mixer"

    def answer(self, question: Question) -> Spoken:
        key = question.challenge.key
        voice = self.convert(self._plain())
        if key in ("clap", "cough-whistle") and (real := self._recorded(key)) is not None:
            return Spoken(np.concatenate([real, np.zeros(RATE // 5, np.int16), voice]), "recording")
        if key in PLAYBACK and key in self.stock.played:
            return Spoken(mixed(voice, self.stock.played[key], PLAYED_DB), "processed")
        return super().answer(question)


CALLERS: Mapping[str, type[Caller]] = {
    kind.name: kind for kind in (Honest, Refuser, Silent, Late, Replayer, Converter, NeuralConverter, Muter, Mixer)
}  # fmt: skip
INNOCENT = frozenset({"honest", "refuser", "silent", "late"})  # people in their own voice


def piece(spare: Samples, seconds: float, rng: random.Random) -> Samples:
    """About `seconds` of speech from anywhere in `spare`, up to the softest place near: people do not stop within a word."""
    size, blocks = round(seconds * RATE), RATE // 20
    start = rng.randrange(max(1, len(spare) - size + 1))
    rest = spare[start : start + size + round(PAUSE_WITHIN_S * RATE)]
    first = max(0, size - round(PAUSE_WITHIN_S * RATE))
    near = rest[first:].astype(np.float64) ** 2
    if len(near) <= 2 * blocks:
        return rest
    softest = int(np.argmin(np.convolve(near, np.ones(2 * blocks), mode="valid")))
    return rest[: first + softest + blocks]


def mixed(voice: Samples, beside: Samples, decibels: float) -> Samples:
    """`voice` with `beside`, repeated as needed, `decibels` over its level."""
    other = np.resize(beside, len(voice)).astype(np.float64)
    own = voice.astype(np.float64)
    gain = np.sqrt((own**2).mean() / max(1.0, float((other**2).mean()))) * 10 ** (decibels / 20)
    return manners.pcm(own + gain * other)
