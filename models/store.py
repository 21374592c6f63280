"""An append-only cache of 8 kHz speech: one file of int16 samples, one of JSON lines that say what is where.

A write is samples first, then the line; a line without all its samples is dropped on opening, so an interrupted run
resumes where it stopped. One writer at a time, which a lock sees to; readers map the samples and see the lines present
when they opened.
"""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Entry:
    """One piece of audio: an original clip (`source` is itself) or a copy of one, after `coding` or clean ("")."""

    source: str  # Clip.name of the recording it is or was made from
    label: str  # "bonafide" or "spoof"
    generator: str  # empty for people; "copy:<path>" for copies made here
    repo: str
    speaker: str
    coding: str  # speech codec it went through, "" for none
    offset: int  # samples from the start of the file
    length: int  # samples
    octets: int = 0  # size of the file it was read from, by which another corpus of the same names is known; 0: not kept
    crc: int = 0  # of the beginning, the middle and the end of that file; 0: not kept

    @property
    def key(self) -> tuple[str, str, str]:
        return self.source, self.generator, self.coding

    @property
    def copy(self) -> bool:
        return self.generator.startswith("copy:")


class AudioStore:
    """`<path>.i16` and `<path>.jsonl`. Reading: `entries`, `samples(entry)`. Writing: `with store: store.add(...)`."""

    def __init__(self, path: Path) -> None:
        self._samples_path, self._index_path = path.with_suffix(".i16"), path.with_suffix(".jsonl")
        self.entries = self._read_index()
        self._keys = {entry.key for entry in self.entries}
        self._map: NDArray[np.int16] | None = None

    def _read_index(self) -> list[Entry]:
        if not self._index_path.is_file():
            return []
        available = self._samples_path.stat().st_size // 2
        entries = []
        for line in self._index_path.read_bytes().split(b"\n"):
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):  # the line that was being written when the run was stopped
                continue
            if entry.offset + entry.length <= available:
                entries.append(entry)
        return entries

    def __str__(self) -> str:
        return str(self._samples_path)

    def __contains__(self, key: tuple[str, str, str]) -> bool:
        return key in self._keys

    def __enter__(self) -> AudioStore:
        """ValueError when somebody else is writing to it."""
        self._samples_path.parent.mkdir(parents=True, exist_ok=True)
        self._index = self._index_path.open("ab")
        try:
            _lock(self._index)
        except OSError:
            self._index.close()
            raise ValueError(f"{self} is being written to by another process; give this one a cache of its own") from None
        self._samples = self._samples_path.open("ab")
        self._mend()
        return self

    def _mend(self) -> None:
        """What others have added since, and after a stop in the middle of a sample or of a line a whole one again."""
        self._samples.write(b"\0" * (self._samples.seek(0, 2) % 2))
        self._samples.flush()
        if self._index.seek(0, 2) and self._index_path.read_bytes()[-1:] != b"\n":
            self._index.write(b"\n")
            self._index.flush()
        self.entries[:] = self._read_index()
        self._keys = {entry.key for entry in self.entries}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._samples.close()
        self._index.close()

    def add(self, samples: NDArray[np.int16], octets: int = 0, crc: int = 0, /, **fields: str) -> Entry:
        """Append int16 [n] at 8 kHz; `fields` are Entry's texts. Only inside `with`."""
        self._samples.seek(0, 2)
        entry = Entry(offset=self._samples.tell() // 2, length=len(samples), octets=octets, crc=crc, **fields)
        self._samples.write(samples.astype("<i2", copy=False).tobytes())
        self._samples.flush()
        self._index.write((json.dumps(asdict(entry), ensure_ascii=False) + "\n").encode())
        self._index.flush()
        self.entries.append(entry)
        self._keys.add(entry.key)
        self._map = None
        return entry

    def samples(self, entry: Entry) -> NDArray[np.int16]:
        """int16 [length]; a view of the mapped file, not to be written to."""
        if self._map is None:
            self._map = np.memmap(self._samples_path, dtype="<i2", mode="r")
        return self._map[entry.offset : entry.offset + entry.length]

    def only(self, sources: Collection[str]) -> AudioStore:
        """The same store with only the entries of those clips to be seen; not for writing."""
        view = copy.copy(self)
        view.entries = [entry for entry in self.entries if entry.source in sources]
        return view

    def seconds(self) -> float:
        return sum(entry.length for entry in self.entries) / 8000


def crc_of(path: Path, block: int = 1 << 16) -> int:
    """Of the beginning, the middle and the end of a file, never 0."""
    size, crc = path.stat().st_size, 0
    with path.open("rb") as file:
        for start in sorted({0, max(0, (size - block) // 2), max(0, size - block)}):
            file.seek(start)
            crc = zlib.crc32(file.read(block), crc)
    return crc or 1


def _lock(file: BinaryIO) -> None:
    """Until it is closed; OSError when another has it."""
    try:
        import fcntl
    except ImportError:  # not on this system
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
