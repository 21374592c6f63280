"""What one caller is asked this time: a challenge with words, digits or a task drawn at random, used once and soon stale.

A stock of recorded answers is worth nothing against content that was never asked before, so nothing here is fixed but
the instruction, and all choices are the passed generator's: random.SystemRandom in the service, a seeded one in tests.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from challenges.catalogue import CATALOGUE, FAMILIES, Challenge, Line, by_name
from challenges.catalogue import pool as default_pool
from challenges.languages import Language, load

EXPIRES_S = 60.0  # a question not asked by then is drawn anew
NONCE_BITS = 64
MAX_TIMES = 4  # claps in one group, coughs or whistles in a row
ATTEMPTS = 200
LENGTHS: Mapping[str, tuple[int, int]] = {  # content -> how many words or digits are drawn: what is kept in mind at one hearing
    "words": (5, 6),
    "digits": (6, 7),
    "foreign-phrase": (3, 4),
    "accent": (5, 5),
    "tune": (5, 5),
    "emotion": (5, 5),
    "rhythm": (3, 3),  # words come after the noises, for realism is judged on speech
    "noise-count": (3, 3),
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Question:
    """One drawn challenge, to be asked once."""

    challenge: Challenge
    language: str
    words: tuple[str, ...]  # expected in the answer, in this order, lower case; of the foreign language for foreign-words
    detail: str  # what was drawn beside the words, as the instruction says it; "" if nothing
    sentence: str  # all that the caller hears: instruction and content
    expires: float  # seconds of the clock that `now` was read from; after it the question must be drawn anew
    nonce: str  # 16 hexadecimal digits, tells two askings apart
    cue: str = ""  # `detail` for programs, not translated: "anger", "jingle-bells", "sw", "2-3", "cough-1-whistle-3"

    @property
    def content(self) -> str:
        """What was drawn, in one line: to be passed in `used` when this caller is asked again."""
        return " ".join([self.language, *([self.cue] if self.cue else []), *self.words])

    @property
    def counts(self) -> tuple[int, ...]:
        """Claps per group, or coughs and whistles in the order asked: (2, 3); () where no noise is asked."""
        return tuple(int(digit) for digit in re.findall(r"\d", self.cue))

    @property
    def clips(self) -> tuple[str, ...]:
        """The keys of `clip_texts` that make up the sentence, in order: the instruction, then word by word."""
        kind = _kind(self.challenge, self.cue)
        return (_instruction(self.language, self.challenge, self.cue), *(f"{self.language}/{kind}/{w}" for w in self.words))


def draw(
    challenge: Challenge, language: str, rng: random.Random, now: float, *, used: Collection[str] = ()
) -> Question:
    """A question that was never asked of this caller.

    `now` is in seconds of a monotonic clock; `used` holds the `content` of what this caller was asked before: words and
    tasks out of it come again only when no others are left, the whole never. ValueError: an unknown language.
    """
    data = load(language)
    spent = frozenset(token for content in used for token in content.split())
    for _ in range(ATTEMPTS):
        cue = _draw_cue(challenge, data, rng, spent)
        written = _draw_words(challenge, data, cue, rng, spent)
        question = _question(challenge, data, cue, written, now + EXPIRES_S, f"{rng.getrandbits(NONCE_BITS):016x}")
        if question.content not in used:
            return question
    raise ValueError(f"challenge {challenge.key}: nothing is left in {data.name} that this caller was not asked before")


def choose(
    line: Line,
    rng: random.Random,
    *,
    asked: Sequence[str],
    pool: Iterable[Challenge | str] | None = None,
    another_family_than: str | None = None,
    keeps_voice: bool = False,
) -> Challenge | None:
    """The next challenge for a caller on `line`, none of the keys in `asked`; None when there is no other.

    With `keeps_voice` one by whose answer the caller can be recognised, as long as there is one.

    `pool` replaces the line's default pool; what the line does not carry is left out of it all the same.
    `another_family_than` is a family, or the key of a challenge for its family. ValueError names an unknown one.
    """
    family = another_family_than
    if family is not None and family not in FAMILIES:
        family = by_name(family).family
    offered = default_pool(line) if pool is None else [by_name(c) if isinstance(c, str) else c for c in pool]
    left = {c.key: c for c in offered if c.carried_by(line) and c.key not in asked and c.family != family}
    telling = [challenge for challenge in left.values() if challenge.keeps_voice] if keeps_voice else []
    return rng.choice(telling or list(left.values())) if left else None


def clip_texts(language: str, keys: Iterable[str] | None = None) -> dict[str, tuple[str, str]]:
    """Every clip that a question of these challenges (default: all) can need: key -> (text, language it is spoken in).

    Keys are "en/instruction/whisper", "en/instruction/sing/jingle-bells", "en/word/river", "en/digit/seven" and
    "en/foreign-sw/kahawa". ValueError: an unknown language or challenge.
    """
    data = load(language)
    texts: dict[str, tuple[str, str]] = {}
    for challenge in CATALOGUE.values() if keys is None else map(by_name, keys):
        for cue in _cues(challenge, data) or [""]:
            texts[_instruction(language, challenge, cue)] = (_instruct(challenge, data, cue), language)
            kind = _kind(challenge, cue)
            spoken = cue if kind.startswith("foreign-") else language
            texts |= {f"{language}/{kind}/{word.lower()}": (word, spoken) for word in _choices(challenge, data, cue)}
    return texts


def _question(
    challenge: Challenge, data: Language, cue: str, written: Sequence[str], expires: float, nonce: str
) -> Question:
    shown = written
    if challenge.content == "foreign-phrase":
        shown = [f"{word} ({data.foreign[cue].words[word]})" for word in written]
    return Question(
        challenge=challenge,
        language=data.code,
        words=tuple(word.lower() for word in written),
        detail=_detail(challenge, data, cue),
        sentence=f"{_instruct(challenge, data, cue)} {', '.join(shown)}.",
        expires=expires,
        nonce=nonce,
        cue=cue,
    )


def _draw_cue(challenge: Challenge, data: Language, rng: random.Random, spent: Collection[str]) -> str:
    cues = _cues(challenge, data)
    return rng.choice(_fresh(cues, spent, 1)) if cues else ""


def _draw_words(
    challenge: Challenge, data: Language, cue: str, rng: random.Random, spent: Collection[str]
) -> list[str]:
    least, most = LENGTHS[challenge.content]
    count = rng.randint(least, most)
    choices = _choices(challenge, data, cue)
    if challenge.content != "digits":
        return rng.sample(_fresh(choices, spent, count), count)
    drawn = [rng.choice(choices)]
    while len(drawn) < count:  # the same digit twice in a row is heard as one
        drawn.append(rng.choice([digit for digit in choices if digit != drawn[-1]]))
    return drawn


def _fresh(choices: Sequence[str], spent: Collection[str], count: int) -> Sequence[str]:
    """Those of `choices` that were not used, or all when fewer than `count` are left."""
    left = [choice for choice in choices if choice.lower() not in spent]
    return left if len(left) >= count else choices


def _cues(challenge: Challenge, data: Language) -> list[str]:
    """What can be drawn beside the words; empty where nothing is."""
    times = range(1, MAX_TIMES + 1)
    match challenge.content:
        case "foreign-phrase":
            return list(data.foreign)
        case "accent":
            return list(data.accents)
        case "tune":
            return list(data.tunes)
        case "emotion":
            return list(data.emotions)
        case "rhythm":
            return [f"{a}-{b}" for a in times for b in times]
        case "noise-count":
            pairs = (("cough", "whistle"), ("whistle", "cough"))
            return [f"{first}-{a}-{second}-{b}" for first, second in pairs for a in times for b in times]
    return []


def _detail(challenge: Challenge, data: Language, cue: str) -> str:
    counts = data.counts
    match challenge.content:
        case "foreign-phrase":
            return data.foreign[cue].name
        case "accent":
            return data.accents[cue]
        case "tune":
            return data.tunes[cue]
        case "emotion":
            return data.emotions[cue]
        case "rhythm":
            first, second = (counts.times[int(n) - 1] for n in cue.split("-"))
            return counts.rhythm.format(first=first, second=second)
        case "noise-count":
            said = {"cough": counts.cough, "whistle": counts.whistle}
            a, n, b, m = cue.split("-")
            times = (counts.times[int(n) - 1], counts.times[int(m) - 1])
            return counts.noises.format(first=said[a].format(times=times[0]), second=said[b].format(times=times[1]))
    return ""


def _choices(challenge: Challenge, data: Language, cue: str) -> Sequence[str]:
    if challenge.content == "foreign-phrase":
        return list(data.foreign[cue].words)
    return data.digits if challenge.content == "digits" else data.words


def _instruct(challenge: Challenge, data: Language, cue: str) -> str:
    return data.instructions[challenge.key].format(detail=_detail(challenge, data, cue))


def _instruction(language: str, challenge: Challenge, cue: str) -> str:
    return f"{language}/instruction/{challenge.key}" + (f"/{cue}" if cue else "")


def _kind(challenge: Challenge, cue: str) -> str:
    if challenge.content == "foreign-phrase":
        return f"foreign-{cue}"
    return "digit" if challenge.content == "digits" else "word"
