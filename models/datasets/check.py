"""What a data set on disk holds, and what is wrong with it: lists against files, files against lists."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from models.corpus import Clip, read_duration
from models.datasets import READERS, detect, read
from models.datasets.base import AUDIO

GROUPS = ("split", "label", "generator", "language", "codec", "challenge", "repo")
CANNOT_BE, MISSING, UNLISTED, TWICE, UNREADABLE = (
    "lines and labels that cannot be", "missing files", "files in no list", "named twice", "unreadable audio",
)  # fmt: skip
Progress = Callable[[Iterable[Clip], str], Iterable[Clip]]


@dataclass
class Findings:
    """The result of `check`. `counts` is {group: {value: clips}}, "" for what the set does not say; generators of fakes."""

    root: Path
    kind: str
    title: str
    clips: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {group: Counter() for group in GROUPS})
    labels_by_split: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[tuple[str, str], float] | None = None  # by (split, label); None when no audio was opened
    faults: dict[str, list[str]] = field(default_factory=dict)  # what -> one sentence each
    remark: str = ""  # what the reader itself says to whoever uses the set

    def fault(self, what: str, sentence: str) -> None:
        self.faults.setdefault(what, []).append(sentence)

    @property
    def notes(self) -> list[str]:
        """What is no fault but good to know before training or measuring on this alone."""
        if not self.clips:
            return []
        labels = self.counts["label"]
        notes = [f"no {what} speech in it" for what in ("bonafide", "spoof") if not labels[what]]
        return [*notes, self.remark] if self.remark else notes


def check(root: Path, kind: str | None = None, *, audio: bool = False, progress: Progress = lambda clips, _: clips) -> Findings:
    """Read the lists below `root`, look for each file, and, with `audio`, open the header of each.

    Never raises for a fault of the data set itself: faults are counted. ValueError when no reader fits `root`.
    `progress` may show how far an iterable has got; its second argument says with what.
    """
    if not root.exists():
        raise ValueError(f"{root} does not exist")
    kind = kind or detect(root)
    if kind not in READERS:
        raise ValueError(f"unknown kind of data set {kind!r}; known: {', '.join(READERS)}")
    findings = Findings(root, kind, READERS[kind].title)
    there = set(audio_files(root)) if root.is_dir() else set()
    missing: list[str] = []
    found: list[Clip] = []
    labels: dict[str, str] = {}
    for clip in progress(_all(root, kind, findings), "lists"):
        if before := labels.get(clip.key):
            findings.fault(TWICE, f"{clip.path}{'' if before == clip.label else f': {before} and {clip.label}'}")
            continue
        labels[clip.key] = clip.label
        _count(clip, findings)
        path = os.path.abspath(clip.path)
        if path in there or os.path.isfile(path):
            there.discard(path)
            if audio:
                found.append(clip)
        else:
            missing.append(path)
    _compare(missing, there, findings)
    if not findings.clips:
        findings.fault(CANNOT_BE, f"{root}: no labelled recording in it")
    else:
        findings.remark = READERS[kind].remark(root)
    if audio:
        _measure(progress(found, "headers"), findings)
    return findings


def audio_files(root: Path) -> Iterator[str]:
    """Absolute paths of all audio below a folder, through links but never round in circles."""
    seen: set[str] = set()
    for folder, below, names in os.walk(os.path.abspath(root), followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith((".", "__MACOSX")))
        for name in names:
            if os.path.splitext(name)[1].lower() in AUDIO and not name.startswith("._"):
                yield os.path.join(folder, name)


def _all(root: Path, kind: str, findings: Findings) -> Iterator[Clip]:
    def complain(sentence: str) -> None:
        findings.fault(CANNOT_BE, sentence)

    try:
        yield from read(root, kind, complain)
    except ValueError as error:  # there is no going on from here
        complain(str(error))


def _count(clip: Clip, findings: Findings) -> None:
    findings.clips += 1
    for group, counter in findings.counts.items():
        if group != "generator" or not clip.bonafide:  # people have none, which is not "not said"
            counter[getattr(clip, group)] += 1
    findings.labels_by_split[clip.split, clip.label] += 1


def _compare(missing: list[str], left: set[str], findings: Findings) -> None:
    """Name what is missing, with the near miss that is there instead, and what nobody listed."""
    near = {path.lower(): path for path in left} if missing else {}
    stems = {os.path.splitext(path)[0]: path for path in left} if missing else {}
    for path in missing:
        if other := near.get(path.lower()):
            findings.fault(MISSING, f"{path}: only {os.path.basename(other)} is there, and case matters")
        elif other := stems.get(os.path.splitext(path)[0]):
            findings.fault(MISSING, f"{path}: only {os.path.basename(other)} is there")
        else:
            findings.fault(MISSING, path)
    top = Path(os.path.abspath(findings.root))
    for path in sorted(left):
        if not READERS[findings.kind].unlabelled(top, Path(path).relative_to(top)):
            findings.fault(UNLISTED, path)


def _measure(clips: Iterable[Clip], findings: Findings) -> None:
    findings.seconds = defaultdict(float)
    for clip in clips:
        try:
            seconds = read_duration(clip.path)
        except ValueError as error:
            findings.fault(UNREADABLE, str(error))
            continue
        findings.seconds[clip.split, clip.label] += seconds
