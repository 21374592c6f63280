"""Were the drawn words spoken? A small-vocabulary recogniser for telephone answers.

pocketsphinx (BSD; its package ships an English model of 7 MB) reads the answer as any sequence of the drawn words, of
others that might as well have been drawn, and of silence: the drawn words that it read in their order count, and words
read beside them count against the answer, for a long speech holds any six digits in some order. A second reading lays the
drawn words alone over the answer, where each may be left out at a price: that finds words which an accent or the noise
made a little more like others; it is left out where the first has decided. Spanish, German and French are read by the same
English model, each sound as the English one that is nearest to it: rougher, but the question is which of some sixty words was
said, not what was. Of French that misses so many that words which were read count, and the answer is "cannot tell" else.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from challenges.cepstra import RATE, cepstra
from challenges.content import Question
from challenges.languages import SPELT, load, spellings
from challenges.respelling import phones
from challenges.track import frames, levels
from engine.audio import Samples

READ = ("en", *SPELT)  # languages
ROUGH = frozenset({"fr"})  # read too roughly to say that something was not said; digits, of one syllable each, not at all
DISTRACTORS = 50  # words beside the drawn ones: fewer are taken for what was not said, more cost time
LEAST_S_A_WORD = 0.1  # nobody speaks two syllables faster
LEAST_S = 0.3
NOISY_DB = 13.0  # between the loud and the quiet frames of an answer: below it, some 8 dB of noise, one in six is misread
SILENT_DBFS = -64.0  # below what a listener takes for sound: nothing stands out of silence either, but that is an answer: none
SKIP = 1e-8  # probability of leaving out a drawn word in the second reading
HOPELESS = 0.35  # a score of words not spoken: no second reading where even the best could not lift it over that
EVEN = 0.5  # a score that says neither
WEIGHTS = (5.7, 3.3, -4.8)  # of agreement and share laid over, and the constant: logistic regression, both sides weighed alike
SETTINGS: Mapping[str, Any] = {  # no lattice pass, narrower beams, and of the Gaussians the two nearest, sought every other
    "lm": None, "samprate": 16000, "loglevel": "FATAL", "bestpath": False, "wip": 0.3,  # frame: under half the cost, as right
    "beam": 1e-40, "pbeam": 1e-40, "wbeam": 1e-25, "ds": 2, "topn": 2,
}  # fmt: skip
Spellings = Mapping[str, Sequence[str]]  # word -> its phones, one for each way to say it
Ways = Mapping[str, tuple[str, ...]]  # word -> the names under which the decoder knows it
MARK = "_"  # within such a name, between word and phones
Transition = tuple[int, int, float, str] | tuple[int, int, float]  # from, to, probability, word; none is silence


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of the drawn words."""

    found: tuple[str, ...] = ()  # drawn words heard, in their order
    share: float = 0.0  # of the drawn words
    score: float | None = None  # compliance in [0, 1], 0.5 where both are as likely; None: cannot tell
    text: str = ""  # all that was read, drawn or not
    reason: str = ""  # why it cannot be told: no-recogniser, language, unknown-word, too-short, too-noisy


class Recogniser:
    """Reads answers. Models are loaded on first use, one per thread that reads at the same time (some 15 MB each)."""

    def __init__(self) -> None:
        self._idle: deque[Any] = deque()

    def heard(
        self, samples: Samples, words: Sequence[str], vocabulary: Sequence[str], respelt: Spellings | None = None
    ) -> Heard:
        """Which of `words` were spoken in this order in int16 [n] at 8 kHz.

        `vocabulary` is what else may be read (see `distractors`), lower case; `respelt` gives phones for words that no
        English dictionary has. Words of `vocabulary` without phones are left out; one of `words` makes "unknown-word".
        """
        if reason := unfit(samples, len(words)):
            return Heard(reason=reason) if reason != "silent" else Heard(score=score(words, (), ()))
        try:
            with self._decoder() as decoder:
                known = _enter(decoder, [*words, *vocabulary], respelt or {})
                if not known.keys() >= set(words):
                    return Heard(reason="unknown-word")
                features = np.ascontiguousarray(cepstra(samples), "<f4").tobytes()
                read = _read(decoder, features, any_of(sorted(way for word in known for way in known[word])), known)
                decided = read == tuple(words) or score(words, read, words) < HOPELESS
                laid = in_order(words, read) if decided else _read(decoder, features, one_after_the_other(words, known), known)
        except ImportError:
            return Heard(reason="no-recogniser")
        found = in_order(words, read)
        return Heard(found, len(found) / max(1, len(words)), score(words, read, laid), " ".join(read))

    def answer(self, samples: Samples, question: Question) -> Heard:
        """What was heard of the words of `question` in an answer, int16 [n] at 8 kHz."""
        drawn = [word.lower() for word in question.words]
        if question.language not in READ or (question.language in ROUGH and _digits_among(drawn, question.language)):
            return Heard(reason="language")
        found = self.heard(samples, drawn, distractors(question), respellings(question))
        missed = question.language in ROUGH and found.score is not None and found.score < EVEN
        return replace(found, score=None, reason="language") if missed else found

    @contextmanager
    def _decoder(self) -> Iterator[Any]:
        try:
            decoder = self._idle.pop()
        except IndexError:
            decoder = _load()
        yield decoder
        self._idle.append(decoder)  # one that failed is not used again


def distractors(question: Question, count: int = DISTRACTORS) -> tuple[str, ...]:
    """Words that might as well have been drawn, by the question's nonce; where digits were, all digits are among them."""
    language = load(question.language)
    drawn = {word.lower() for word in question.words}
    others = [word.lower() for word in language.words if word.lower() not in drawn]
    if question.challenge.content == "foreign-phrase":
        others = [word for word in language.foreign[question.cue].words if word not in drawn] + others
        return tuple(others[:count])
    digits = language.digits if _digits_among(drawn, question.language) else ()
    chosen = random.Random(question.nonce).sample(others, min(count - len(digits), len(others)))
    return tuple(dict.fromkeys([*digits, *chosen]))


def _digits_among(words: Iterable[str], language: str) -> bool:
    return not set(load(language).digits).isdisjoint(words)


def respellings(question: Question) -> Spellings:
    """Phones of what no English dictionary has: words of other languages, and foreign words as English spells their sound."""
    known: Spellings = spellings(question.language)
    if question.challenge.content != "foreign-phrase":
        return known
    foreign = load("en").foreign[question.cue].words
    return {**known, **{word: (phones(spelt),) for word, spelt in foreign.items()}}


def in_order(words: Sequence[str], read: Sequence[str]) -> tuple[str, ...]:
    """The longest sequence of `words` that occurs in `read` in the same order, others between them or not."""
    best: list[list[tuple[str, ...]]] = [[()] * (len(read) + 1) for _ in range(len(words) + 1)]
    for i, word in enumerate(words):
        for j, other in enumerate(read):
            if word == other:
                best[i + 1][j + 1] = (*best[i][j], word)
            else:
                best[i + 1][j + 1] = max(best[i][j + 1], best[i + 1][j], key=len)
    return best[-1][-1]


def score(words: Sequence[str], read: Sequence[str], laid: Sequence[str]) -> float:
    """Compliance in [0, 1] from what was read freely and which of the drawn words could be laid over the answer."""
    if not words:
        return 1.0
    agreement = 2 * len(in_order(words, read)) / (len(words) + len(read))  # Dice: words left out and words beside count alike
    measures = (agreement, len(laid) / len(words), 1.0)
    return 1 / (1 + math.exp(-sum(weight * measure for weight, measure in zip(WEIGHTS, measures, strict=True))))


def unfit(samples: Samples, words: int) -> str:
    """Why an answer cannot be read: "too-short", "too-noisy", "silent", or "".

    By what lies in the telephone band, as the manner is: a line's hum hides no word from the recogniser, which has no band
    for it, and must not keep an answer from being read.
    """
    if len(samples) < RATE * max(LEAST_S, LEAST_S_A_WORD * words):
        return "too-short"
    quiet, loud = np.percentile(levels(frames(samples))[0], [10, 95])
    if loud < SILENT_DBFS:
        return "silent"
    return "too-noisy" if loud - quiet < NOISY_DB else ""


def _load() -> Any:
    from pocketsphinx import Config, Decoder  # an extra

    decoder = Decoder(Config(**SETTINGS))
    decoder.config["cmn"] = "none"  # it would move the mean in the caller's own bytes, again at each reading; the model's
    decoder.reinit_feat()  # files set it, so that SETTINGS cannot. `cepstra` has taken the mean off
    return decoder


def _enter(decoder: Any, words: Sequence[str], respelt: Spellings) -> Ways:
    """Those of `words` that the decoder has phones for, after it was told those of `respelt`.

    What is told is entered under a name that holds the phones: "radio" is another word in each language.
    """
    known = {}
    for word in words:
        told = {f"{word}{MARK}{way.replace(' ', '-')}": way for way in respelt.get(word, ())}
        for name, way in told.items():
            if decoder.lookup_word(name) is None:
                decoder.add_word(name, way, True)
        if told or decoder.lookup_word(word) is not None:
            known[word] = tuple(told) or (word,)
    return known


def any_of(words: Sequence[str]) -> list[Transition]:
    """A grammar from state 0 to state 1: any sequence of `words`, all as likely."""
    even = 1 / (len(words) + 1)
    return [*((0, 0, even, word) for word in words), (0, 1, even)]


def one_after_the_other(words: Sequence[str], known: Ways) -> list[Transition]:
    """A grammar from state 0 to state len(words): `words` in this order, each in any way, each of which may be left out."""
    steps: list[Transition] = []
    for i, word in enumerate(words):
        steps += [(i, i + 1, 1.0, way) for way in known[word]]
        steps.append((i, i + 1, SKIP))
    return steps


def _read(decoder: Any, features: bytes, grammar: Sequence[Transition], known: Ways) -> tuple[str, ...]:
    """The most likely words by a grammar of their ways from state 0 to its highest state; () when it fits nowhere."""
    last = max(transition[1] for transition in grammar)
    decoder.add_fsg("answer", decoder.create_fsg("answer", 0, last, list(grammar)))
    decoder.activate_search("answer")
    decoder.start_utt()
    decoder.process_cep(features, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    meant = {way: word for word, ways in known.items() for way in ways}
    return tuple(meant[way.split("(")[0]] for way in found.hypstr.split()) if found else ()
