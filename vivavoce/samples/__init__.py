"""Three short calls to show and to measure with: two people and one synthesiser. PROVENANCE.md says whence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Sample:
    """One bundled call, 8 kHz mu-law in a WAV file."""

    name: str
    caller: str
    agent: str
    queue: str
    synthetic: bool

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.wav"


SAMPLES = (
    Sample("person-1", "+49 170 0000101", "Ana", "billing", synthetic=False),
    Sample("synthetic", "+1 202 555 0142", "Ben", "account recovery", synthetic=True),
    Sample("person-2", "+1 202 555 0117", "Chloe", "orders", synthetic=False),
)


def mu_law(path: Path) -> bytes:
    """The bytes of the `data` chunk of a mu-law WAV file. ValueError when it is not one."""
    raw = path.read_bytes()
    if raw[:4] != b"RIFF" or raw[20:22] != b"\x07\x00":
        raise ValueError(f"{path} is not a mu-law WAV file")
    start = raw.index(b"data", 12)
    size = int.from_bytes(raw[start + 4 : start + 8], "little")
    return raw[start + 8 : start + 8 + size]


def sample_speech() -> bytes:
    """All three calls one after the other, 8 kHz mu-law: about a minute of speech for a load generator."""
    return b"".join(mu_law(sample.path) for sample in SAMPLES)
