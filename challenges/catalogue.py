"""What a caller can be asked: the 20 challenges of PITCH, which line carries each, and which verifier judges it.

Names, ids and tiers are those of the authors' demonstration page; the pool for telephone lines is the part of them
whose cues survive 300-3400 Hz, a handset's noise suppression and G.711.

Source: Mittal, Jakobsson, Marshall, Hegde, Memon, "PITCH: AI-assisted Tagging of Deepfake Audio Calls using
Challenge-Response", arXiv 2402.18085.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple


class Line(NamedTuple):
    """What the call's line does to sound."""

    wideband: bool  # at least 7 kHz of audio: G.722, Opus, L16 at 16 kHz and more
    noise_suppressed: bool  # a handset or client removes what is not speech
    dtx: bool  # nothing is sent in pauses, so quiet sounds never arrive


PHONE = Line(wideband=False, noise_suppressed=False, dtx=False)
LINES: Mapping[str, Line] = MappingProxyType(
    {
        "narrowband": PHONE,
        "narrowband-suppressed": PHONE._replace(noise_suppressed=True),
        "narrowband-dtx": PHONE._replace(dtx=True),
        "wideband": PHONE._replace(wideband=True),
        "wideband-suppressed": PHONE._replace(wideband=True, noise_suppressed=True),
        "wideband-dtx": PHONE._replace(wideband=True, dtx=True),
    }
)

FAMILIES = ("vocal", "level", "pitch", "tempo", "language", "tone", "noise", "playback")
CONTENTS = ("words", "digits", "foreign-phrase", "accent", "tune", "emotion", "rhythm", "noise-count")
NEEDS = ("wideband", "no-noise-suppression", "no-dtx")
VERIFIERS = (
    "voicing", "pitch", "level", "tempo", "nasal", "muffled", "words",
    "melody", "contour", "emotion", "bursts", "background", "unmeasured",
)  # fmt: skip
MEASURABLE = ("measured", "weak", "not measurable")
# Nobody is recognised by whisper, song or falsetto, nor where another voice or music is heard beside.
VOICE_CHANGING = frozenset(
    {
        "whisper", "sing", "high-pitch", "low-pitch", "hold-nose", "cup-mouth", "cough-whistle", "clap", "crosstalk",
        "instrumental-playback", "lyric-playback",
    }
)  # fmt: skip
# Nor by pitch where the task is one of pitch or loudness, or raises it at the end.
PITCH_KEEPING = frozenset({"static-mouth", "foreign-words", "accent", "read-quickly", "read-slowly"})
PAUSING = frozenset({"read-slowly"})  # done with longer pauses than end another answer
SOFT = frozenset({"whisper", "speak-softly", "cough-whistle", "clap"})  # done far below the caller's usual voice


@dataclass(frozen=True, slots=True)
class Challenge:
    """One thing a person can be asked to do, and how the answer is judged."""

    id: str  # "01" .. "22"; 11 and 15 are not used
    name: str
    key: str  # stable slug, used in settings, tags and the API
    family: str  # of FAMILIES
    tier: str  # "A": among the authors' eleven machine-detectable ones; "B": weaker
    content: str  # of CONTENTS: what is drawn at random
    min_s: float  # an answer shorter than this cannot be judged, seconds
    max_s: float  # the answer is cut here, seconds
    needs: frozenset[str]  # of NEEDS: what the line must carry
    phone_safe: bool  # in the default pool of a telephone line
    alternative: str  # key of a weaker challenge of another family, for a person who cannot do this one
    verifier: str  # of VERIFIERS
    parameters: Mapping[str, float] = field(hash=False)  # weights of the verifier's cues, per unit of their suffix
    measurable: str  # of MEASURABLE
    note: str  # what that label means here

    @property
    def keeps_voice(self) -> bool:
        """Whether a caller who does the task can be recognised by the voice."""
        return self.key not in VOICE_CHANGING

    @property
    def keeps_pitch(self) -> bool:
        """Whether a caller who does the task speaks at the usual pitch."""
        return self.key in PITCH_KEEPING

    @property
    def may_be_soft(self) -> bool:
        """Whether the task done may be far softer than the caller's plain speech."""
        return self.key in SOFT

    @property
    def has_pauses(self) -> bool:
        """Whether the task done may have long pauses between the words."""
        return self.key in PAUSING

    def carried_by(self, line: Line) -> bool:
        """Whether `line` lets the cues of this challenge through."""
        has = {"wideband": line.wideband, "no-noise-suppression": not line.noise_suppressed, "no-dtx": not line.dtx}
        return all(has[need] for need in self.needs)


def _challenge(
    number: int, name: str, family: str, tier: str, content: str, seconds: tuple[float, float], alternative: str,
    verifier: str, parameters: Mapping[str, float], measurable: str, note: str,
    *, key: str = "", needs: str = "", phone_safe: bool = False,
) -> Challenge:  # fmt: skip
    return Challenge(
        id=f"{number:02}",
        name=name,
        key=key or name.lower().replace(" ", "-"),
        family=family,
        tier=tier,
        content=content,
        min_s=seconds[0],
        max_s=seconds[1],
        needs=frozenset(needs.split()),
        phone_safe=phone_safe,
        alternative=alternative,
        verifier=verifier,
        parameters=parameters,
        measurable=measurable,
        note=note,
    )


_LEVEL = "no-noise-suppression no-dtx"  # both come with gain control, which undoes the task
_AMBIENT = "wideband no-noise-suppression no-dtx"  # sounds that are not speech
_CHALLENGES = (
    _challenge(
        1, "Static Mouth", "vocal", "A", "words", (2, 12), "read-slowly",
        "muffled", {"bias": -0.8, "tilt_change_db": 1.0, "spread_change_db": -1.5, "words": 1.0}, "weak",
        "still lips narrow the formants' movement; judged against the caller's own earlier speech", phone_safe=True,
    ),
    _challenge(
        2, "Cup Mouth", "vocal", "A", "words", (2, 12), "read-quickly",
        "muffled", {"bias": -3.45, "tilt_change_db": 2.19, "flatness_change_db": -4.17, "words": 1.0}, "weak",
        "a cupped hand steepens the tilt within 300-3400 Hz; judged against the caller's own earlier speech", phone_safe=True,
    ),
    _challenge(
        3, "Whisper", "vocal", "A", "words", (2, 12), "read-slowly",
        "voicing", {"bias": 3.92, "voiced_share": -4.49, "tilt_db": -1.81, "flatness_db": 2.31, "words": 1.0}, "measured",
        "the voiced share of the active frames survives 8 kHz; the high band of a whisper does not",
        needs="no-dtx", phone_safe=True,
    ),
    _challenge(
        4, "Speak Loudly", "level", "B", "digits", (2, 10), "low-pitch",
        "level", {"bias": -2.4, "change_db": 0.6, "words": 1.0}, "measured",
        "against the caller's own level; gain control takes it away, so not on a telephone by default", needs=_LEVEL,
    ),
    _challenge(
        5, "Speak Softly", "level", "A", "digits", (2, 10), "read-slowly",
        "level", {"bias": -2.4, "change_db": -0.6, "words": 1.0}, "measured",
        "against the caller's own level; gain control takes it away, so not on a telephone by default", needs=_LEVEL,
    ),
    _challenge(
        6, "Read Quickly", "tempo", "B", "words", (1, 8), "question",
        "tempo",
        {"bias": -1.73, "like_32_ms": -7.92, "run_oct": 2.05, "coherence_oct": 2.05, "modulation_oct": 0.9, "words": 1.0},
        "weak",
        "pace against the caller's own, right in four of five cases; a converter follows the tempo, so it shows little of one",
    ),
    _challenge(
        7, "Read Slowly", "tempo", "B", "words", (3, 15), "question",
        "tempo",
        {"bias": -1.67, "run_oct": -2.31, "coherence_oct": -3.32, "modulation_oct": -0.76, "syllables_oct": -1.2, "words": 1.0},
        "weak",
        "pace against the caller's own, right in four of five cases; a converter follows the tempo, so it shows little of one",
    ),
    _challenge(
        8, "Hold Nose", "vocal", "B", "words", (2, 12), "low-pitch",
        "nasal", {"bias": -2.09, "nasal_change_db": 3.51, "words": 1.0}, "weak",
        "only nasal sounds change, and the drawn words hold few; judged against the caller's own earlier speech",
    ),
    _challenge(
        9, "High Pitch", "pitch", "A", "words", (2, 12), "read-quickly",
        "pitch", {"bias": -2.77, "shift_st": 0.42, "low_shift_st": 0.41, "words": 1.0}, "measured",
        "the tones against those of the caller's own earlier speech, without which nobody can tell", phone_safe=True,
    ),
    _challenge(
        10, "Low Pitch", "pitch", "B", "digits", (2, 12), "read-slowly",
        "pitch", {"bias": -1.57, "shift_st": -0.34, "low_shift_st": -0.37, "words": 1.0}, "weak",
        "voices go up far more easily than down: the gap is small, and a low voice can hardly go lower",
    ),
    _challenge(
        12, "Foreign Words", "language", "A", "foreign-phrase", (2, 15), "question",
        "words", {"share": 0.6}, "weak",
        "the drawn words are looked for with an English acoustic model and the phones of the foreign words", phone_safe=True,
    ),
    _challenge(
        13, "Accent", "language", "B", "accent", (2, 12), "read-slowly",
        "unmeasured", {}, "not measurable",
        "no cue of a named accent is measured: only the spoken words and the voice are judged",
    ),
    _challenge(
        14, "Sing", "tone", "A", "tune", (3, 15), "low-pitch",
        "melody", {"bias": -7.9, "sustained_share": 4.82, "longest_note_s": 3.23, "jumps_st": -2.39, "voiced_share": 3.9},
        "measured",
        "held notes and wide steps of F0 tell song from speech; which tune it was is not judged", phone_safe=True,
    ),
    _challenge(
        16, "Emotions", "tone", "A", "emotion", (2, 12), "read-quickly",
        "emotion", {"bias": -1.5, "pitch_change_st": 0.35, "range_change_st": 0.1, "words": 1.0}, "weak",
        "a change of level, F0 and tempo against the caller's own is measured; which emotion it was hardly", phone_safe=True,
    ),
    _challenge(
        17, "Question", "tone", "B", "words", (1, 10), "read-slowly",
        "contour", {"bias": -1.34, "rise_st": 0.5, "words": 1.0}, "weak",
        "the voice ends high, as some statements do too; a converter follows it, so it shows little of one",
    ),
    _challenge(
        18, "Cough / Whistle", "noise", "B", "noise-count", (2, 15), "low-pitch",
        "bursts", {"bias": -3.57, "unvoiced": 4.67, "burst_share": 3.88, "crest_db": 1.92, "spread_db": -0.28}, "weak",
        "the authors withdrew it as hard to randomise; here the number and order are drawn, and words follow",
        key="cough-whistle", needs=_AMBIENT,
    ),
    _challenge(
        19, "Clap", "noise", "B", "rhythm", (2, 15), "question",
        "bursts", {"bias": 1.56, "unvoiced": 2.41, "burst_share": 4.14, "crest_db": 1.12, "spread_db": -1.1}, "measured",
        "transients above 4 kHz are counted; noise suppression removes them, and a mixer can add them", needs=_AMBIENT,
    ),
    _challenge(
        20, "Crosstalk", "playback", "A", "words", (2, 15), "read-quickly",
        "background", {"bias": -2.15, "floor_rise_db": 0.42}, "weak",
        "a second voice lifts the floor; one mixed in beside a converter does as well, so realism decides", needs=_AMBIENT,
    ),
    _challenge(
        21, "Instrumental Playback", "playback", "A", "words", (2, 15), "low-pitch",
        "background", {"bias": -1.73, "floor_rise_db": 0.42}, "weak",
        "music lifts the floor, as noise may; one who mixes it in beside a converter is left to realism", needs=_AMBIENT,
    ),
    _challenge(
        22, "Lyric Playback", "playback", "A", "words", (2, 15), "read-slowly",
        "background", {"bias": -1.73, "floor_rise_db": 0.42}, "weak",
        "music lifts the floor, as noise may; one who mixes it in beside a converter is left to realism", needs=_AMBIENT,
    ),
)  # fmt: skip
CATALOGUE: Mapping[str, Challenge] = MappingProxyType({challenge.key: challenge for challenge in _CHALLENGES})


def pool(line: Line) -> tuple[Challenge, ...]:
    """The challenges that are asked on `line` unless the user names others, in order of id.

    A narrowband line gets the phone-safe ones only. What no verifier measures is in no pool: an operator can ask it.
    """
    return tuple(
        challenge
        for challenge in _CHALLENGES
        if challenge.carried_by(line) and challenge.measurable != "not measurable" and (line.wideband or challenge.phone_safe)
    )


def by_name(text: str) -> Challenge:
    """The challenge with this id ("03" or "3"), key or name, in any case. ValueError names `text` and the choices."""
    wanted = text.strip().casefold()
    for challenge in _CHALLENGES:
        if wanted in (challenge.key, challenge.name.casefold(), challenge.id, challenge.id.lstrip("0")):
            return challenge
    choices = ", ".join(f"{challenge.id} {challenge.key}" for challenge in _CHALLENGES)
    raise ValueError(f"challenge {text!r} is none of {choices}")


def by_line(text: str) -> Line:
    """The line of LINES with this name. ValueError names `text` and the choices."""
    try:
        return LINES[text.strip().casefold()]
    except KeyError:
        raise ValueError(f"line {text!r} is none of {', '.join(LINES)}") from None
