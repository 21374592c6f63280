"""Was the task done? One score in [0, 1] per answer, from the cues that its challenge's verifier looks at.

A verifier is a weighted sum of a few cues through a logistic function; the weights stand in the catalogue, beside the
challenge: logistic regressions on recordings and on speech brought into the manner, at G.711 with noise, which
`python -m vivavoce.fit_verifiers CORPUS` fits again; set by hand for level, emotion and the still mouth. What cannot be
measured on this line, on so little sound, or against so little or so noisy speech of the same caller, is not scored:
"cannot tell" is an answer of its own and counts for neither side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from challenges.catalogue import Challenge, Line
from challenges.content import Question
from challenges.fusion import FAILED_TASK
from challenges.measures import Measures
from challenges.tones import low_shift_st, shift_st
from challenges.words import Heard

MIN_SNR_DB = 5.0  # of the answer: below it pitch and spectrum are the noise's
MIN_ACTIVE_S = 0.4  # of sound in an answer of speech
MIN_BEFORE_S = 2.0  # of sound in the speech that an answer is compared with
UNVOICED = 0.1  # a voiced share below it is a whisper's: no voice, and no high or low one
# No better than chance on people who did it (emotions), or never measured: what their manner scores counts for nothing.
UNTOLD = frozenset({"static-mouth", "emotions"})
WORDS_COUNT = (0.1, 1.3)  # share of the manner's score that is left where no drawn word was read, and what reading adds to it
Cues = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Compliance:
    """How surely a task was done, or why nobody can tell."""

    score: float | None  # 0 to 1
    # "too-noisy", "too-short", "too-little-voice", "line-limited", "no-baseline", "not-measured", "no-recogniser" or
    # "manner-untold": it is one of UNTOLD
    reason: str = ""
    cues: Cues | None = None  # what it rests on
    manner: float | None = None  # the score of the manner alone, also where that counts for nothing


def verify(
    question: Question, answer: Measures | None, before: Measures | None, line: Line, words: Heard | None = None
) -> Compliance:
    """How surely the answer does what `question` asked; `before` is the same caller's plain speech.

    The verifier "words" looks at neither, and only those of RELATIVE at `before`.
    """
    challenge = question.challenge
    if not challenge.carried_by(line):
        return Compliance(None, "line-limited")
    if challenge.verifier == "unmeasured":
        return Compliance(None, "not-measured")
    if challenge.verifier == "words":  # the recogniser says itself what it cannot read
        return _spoken(words)
    if answer is None or answer.active_s < (0.1 if challenge.verifier == "bursts" else MIN_ACTIVE_S):
        return Compliance(None, "too-short")
    if answer.snr_db < MIN_SNR_DB and challenge.verifier != "melody":
        return Compliance(None, "too-noisy")
    if challenge.verifier in RELATIVE and (lacks := _incomparable(challenge, answer, before)):
        return Compliance(None, lacks)
    cues = CUES[challenge.verifier](answer, before, question)
    manner = logistic(challenge, cues)
    if challenge.key in UNTOLD:
        return _by_words_alone(manner, words, cues)
    return Compliance(manner * _left(words) if challenge.parameters.get("words") else manner, cues=cues, manner=manner)


def _incomparable(challenge: Challenge, answer: Measures, before: Measures | None) -> str:
    """Why the two cannot be compared; "" where they can."""
    if before is None or before.active_s < MIN_BEFORE_S or before.snr_db < MIN_SNR_DB:
        return "no-baseline"
    if challenge.verifier == "pitch" and not before.tones:  # who whispers always, or only hummed
        return "no-baseline"
    if challenge.verifier == "pitch" and not answer.tones and answer.voiced_share >= UNVOICED:
        return "too-little-voice"
    return ""


def logistic(challenge: Challenge, cues: Cues) -> float:
    """The catalogue's weights over the cues they name. KeyError is our own bug: a weight for a cue that is not there."""
    total = challenge.parameters["bias"] + sum(
        weight * cues[name] for name, weight in challenge.parameters.items() if name not in ("bias", "words")
    )
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))


def _spoken(words: Heard | None) -> Compliance:
    if words is None:
        return Compliance(None, "no-recogniser")
    return Compliance(words.score, words.reason)


def _left(words: Heard | None) -> float:
    """Done in the right manner but with other words is done with an old recording: the words can only take away."""
    if words is None or words.score is None:
        return 1.0
    least, slope = WORDS_COUNT
    return min(1.0, least + slope * words.score)


def _by_words_alone(manner: float, words: Heard | None, cues: Cues) -> Compliance:
    """Where the manner cannot be told: with other words it is a task not done, with the right ones it may be either."""
    left = _left(words)
    if left < FAILED_TASK:
        return Compliance(left, cues=cues, manner=manner)
    return Compliance(None, "manner-untold", cues, manner)


# --- cues of each verifier ------------------------------------------------------------------------------------------


def _voicing(answer: Measures, before: Measures | None, question: Question) -> Cues:
    return {"voiced_share": answer.voiced_share, "tilt_db": answer.tilt_db / 10, "flatness_db": answer.flatness_db / 10}


def _pitch(answer: Measures, before: Measures | None, question: Question) -> Cues:
    assert before is not None
    return {"shift_st": shift_st(answer.tones, before.tones), "low_shift_st": low_shift_st(answer.tones, before.tones)}


def _tempo(answer: Measures, before: Measures | None, question: Question) -> Cues:
    """By how much the answer is faster, by measures of pace that fail in different noises; octaves where so named."""
    assert before is not None
    return {
        "like_32_ms": answer.like_32_ms - before.like_32_ms,
        "run_oct": math.log2(max(before.voiced_run_s, 0.01) / max(answer.voiced_run_s, 0.01)),
        "syllables_oct": math.log2((answer.syllables_s + 0.3) / (before.syllables_s + 0.3)),
        "modulation_oct": math.log2(max(answer.modulation_hz, 1.0) / max(before.modulation_hz, 1.0)),
        "coherence_oct": math.log2(max(before.coherence_s, 0.01) / max(answer.coherence_s, 0.01)),
    }


def _level(answer: Measures, before: Measures | None, question: Question) -> Cues:
    assert before is not None
    return {"change_db": answer.level_db - before.level_db, "tilt_change_db": (answer.tilt_db - before.tilt_db) / 10}


def _muffled(answer: Measures, before: Measures | None, question: Question) -> Cues:
    assert before is not None
    return {
        "tilt_change_db": (answer.tilt_db - before.tilt_db) / 10,
        "flatness_change_db": (answer.flatness_db - before.flatness_db) / 10,
        "spread_change_db": answer.spread_db - before.spread_db,
    }


def _nasal(answer: Measures, before: Measures | None, question: Question) -> Cues:
    assert before is not None
    change = (answer.nasal_db - before.nasal_db) / 10
    return {"nasal_change_db": change, "spread_change_db": answer.spread_db - before.spread_db}


def _melody(answer: Measures, before: Measures | None, question: Question) -> Cues:
    return {
        "sustained_share": answer.sustained_share,
        "longest_note_s": min(answer.longest_note_s, 1.0),
        "jumps_st": min(answer.jumps_st, 1.5),
        "voiced_share": answer.voiced_share,
    }


def _contour(answer: Measures, before: Measures | None, question: Question) -> Cues:
    return {"rise_st": max(-12.0, min(12.0, answer.rise_st))}


def _emotion(answer: Measures, before: Measures | None, question: Question) -> Cues:
    assert before is not None
    change = abs(semitones(answer.f0_hz, before.f0_hz))
    return {"pitch_change_st": min(change, 12.0), "range_change_st": answer.range_st - before.range_st}


def _bursts(answer: Measures, before: Measures | None, question: Question) -> Cues:
    return {
        "unvoiced": 1 - answer.voiced_share,
        "burst_share": answer.burst_share,
        "crest_db": answer.crest_db / 10,
        "spread_db": answer.spread_db,
    }


def _background(answer: Measures, before: Measures | None, question: Question) -> Cues:
    assert before is not None
    return {"floor_rise_db": answer.floor_db - before.floor_db}


RELATIVE = frozenset({"pitch", "tempo", "level", "muffled", "nasal", "emotion", "background"})
CUES: Mapping[str, Callable[[Measures, Measures | None, Question], Cues]] = {
    "voicing": _voicing, "pitch": _pitch, "tempo": _tempo, "level": _level, "muffled": _muffled, "nasal": _nasal,
    "melody": _melody, "contour": _contour, "emotion": _emotion, "bursts": _bursts, "background": _background,
}  # fmt: skip


def semitones(high: float | None, low: float | None) -> float:
    """How far `high` lies above `low`; 0 when either has no pitch."""
    return 12 * math.log2(high / low) if high and low else 0.0
