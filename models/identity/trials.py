"""Who is compared with whom: sides of a few seconds of one person's net speech, and all pairs of them. No torch."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.channel import companding
from models.corpus import Clip
from models.identity.embed import RATE, Samples, net_speech
from models.metrics import eer

# Labels that name a data set, a page or an unknown contributor: several people, or the number of a sample.
_NOBODY = re.compile(r"unk@|unknown|kal-\d+$|kal-FTTS$|(ESD|DAPS|MEAD|FoR|VCTK|LibriTTS|msvalle|tencent-internal)$")
PAIRS_PER_PERSON = 20  # so that who recorded much does not decide the figure


def person(label: str) -> str:
    """The one person whom a speaker label names, one spelling for LibriSpeech's readers; "" for nobody in particular."""
    if not label or _NOBODY.match(label):
        return ""
    reader = re.fullmatch(r"librispeech-resemblyzer:ls-(\d+)|uniaudio-demo:tts_(\d+)-.*", label)
    return f"Libri-{reader[1] or reader[2]}" if reader else label


def through_g711(samples: Samples) -> Samples:
    """int16 [n] after mu-law and back."""
    return companding("mu")[samples.astype(np.int32) + 32768]


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    speaker: str
    repo: str
    recordings: frozenset[str]  # orig_path of what it was cut from
    samples: Samples  # int16 at 8 kHz, net speech


@dataclass(frozen=True)
class Pairs:
    """Every pair of sides (indices first < second) and what kind it is."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    same: NDArray[np.bool_]
    same_repo: NDArray[np.bool_]
    capped: NDArray[np.bool_]  # same-speaker pairs that count: at most PAIRS_PER_PERSON of each person


def sides(clips: Iterable[Clip], read: Callable[[Clip], Samples], seconds: float) -> list[Side]:
    """Clips of one person in one repository joined until `seconds` of net speech; no clip is in two sides."""
    size, out = int(seconds * RATE), []
    waiting: dict[tuple[str, str], list[tuple[Samples, str]]] = defaultdict(list)
    heard: set[bytes] = set()
    for clip in clips:
        who = person(clip.speaker)
        if not who or not clip.bonafide:
            continue
        speech = net_speech(read(clip))
        if speech[:RATE].tobytes() in heard:  # the same file under two names would be an easy pair
            continue
        heard.add(speech[:RATE].tobytes())
        parts = waiting[who, clip.repo]
        parts.append((speech, f"{clip.repo}/{clip.orig_path}"))
        if sum(len(part) for part, _ in parts) >= size:
            joined = np.concatenate([part for part, _ in parts])[:size]
            out.append(Side(who, clip.repo, frozenset(name for _, name in parts), joined))
            parts.clear()
    return out


def pairs(of: list[Side], seed: int = 0) -> Pairs:
    """All pairs but those of one person whose recordings bear one name in two folders (an utterance told twice)."""
    first, second = np.triu_indices(len(of), 1)
    people, repos = np.array([side.speaker for side in of]), np.array([side.repo for side in of])
    same = people[first] == people[second]
    keep = np.array([not (s and _told_twice(of[i], of[j])) for i, j, s in zip(first, second, same, strict=True)], dtype=bool)
    first, second, same = first[keep], second[keep], same[keep]
    capped = np.zeros(len(first), dtype=bool)
    rng = np.random.default_rng(seed)
    for who in np.unique(people[first][same]):
        capped[rng.permutation(np.nonzero(same & (people[first] == who))[0])[:PAIRS_PER_PERSON]] = True
    return Pairs(first, second, same, repos[first] == repos[second], capped)


def _told_twice(a: Side, b: Side) -> bool:
    def names(side: Side) -> set[str]:
        return {path.rsplit("/", 1)[-1].rsplit(".", 1)[0] for path in side.recordings}

    return not a.recordings & b.recordings and bool(names(a) & names(b))


def figures(scores: NDArray[np.float64], of: Pairs) -> dict[str, float | int]:
    """EER (0-1) against everybody and against people of the same repository only, plain and with `capped` pairs."""
    other, near = scores[~of.same], scores[~of.same & of.same_repo]
    out: dict[str, float | int] = {
        "same": int(of.same.sum()),
        "same_capped": int(of.capped.sum()),
        "other": len(other),
        "other_same_repository": len(near),
    }
    for name, own in (("eer", scores[of.same]), ("eer_capped", scores[of.capped])):
        if len(own) and len(other):
            out[name] = round(eer(own, other), 4)
        if len(own) and len(near):
            out[f"{name}_same_repository"] = round(eer(own, near), 4)
    return out
