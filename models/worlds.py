"""More recording worlds to train on: people's speech that Debian ships inside its packages.

Telephone prompts, games and language lessons, each recorded by other people with another microphone in another room.
The detector's weak side is people it has never met in rooms it has never heard, so each package counts for more than
its minutes. Packages are fetched by name from the system's own mirror; what comes out is a corpus folder of `train`
clips with a manifest, brought to the level and rounding of the corpus they are added to.
"""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.archives import drascula_voices, queen_voices, raw_voices, sound_files
from models.copies import active_level
from models.corpus import resample

Samples = NDArray[np.int16]
Recordings = Iterator[tuple[str, Samples, int]]  # (path inside the package, int16 mono, rate in Hz)
RATE = 16000  # Hz, of what is written
LEVEL = 0.126  # active RMS: -18 dBFS
STEP = 64  # samples are rounded to 10 significant bits, as the corpus's are
COLUMNS = ("path", "split", "label", "speaker", "language", "duration_s", "repo", "orig_path", "licence")
SHORTEST_S, LONGEST_S, WISHED_S = 0.12, 10.0, 4.0  # recordings below the wish are joined with their neighbours


@dataclass(frozen=True)
class World:
    """One or several recording worlds in one Debian package."""

    package: str
    language: str  # empty: the folder below `pattern`'s first group names it
    pattern: str  # regular expression over paths; group "world" and group "speaker", where there, tell them apart
    read: Callable[[Path], Recordings] = sound_files
    minutes: float = 6.0  # at most, per world and speaker


def _asterisk(code: str, name: str) -> World:
    return World(f"asterisk-core-sounds-{code}-g722", code, rf"/{name}/.*\.g722$", minutes=8.0)


WORLDS = (
    _asterisk("en", "en_US_f_Allison"),
    _asterisk("es", "es_MX_f_Allison"),
    _asterisk("fr", "fr_CA_f_June"),
    _asterisk("it", "it_IT_f_Menardi|it_IT_m_Carlo|it[^/]*"),
    _asterisk("ru", "ru_RU_f_IvrvoiceRU|ru[^/]*"),
    World("asterisk-prompt-es-co", "es", r"\.gsm$"),
    World("asterisk-prompt-fr-armelle", "fr", r"\.gsm$"),
    World("asterisk-prompt-it-menardi-wav", "it", r"\.wav$"),
    World("ktuberling-data", "", r"/sounds/(?P<world>[a-z]+)(@[a-z]+)?/.*\.(wav|ogg|mp3)$"),
    World("klettres-data", "", r"/klettres/(?P<world>[a-zA-Z_]+)/(alpha|syllab)/.*\.(ogg|wav|mp3)$", minutes=2.0),
    World("unknown-horizons", "", r"/voice/(?P<world>[a-z]+)/.*\.ogg$"),
    World("fillets-ng-data-cs", "cs", r"-(?P<speaker>[mv])-[^/]*\.ogg$", minutes=8.0),
    World("fillets-ng-data-nl", "nl", r"-(?P<speaker>[mv])-[^/]*\.ogg$", minutes=8.0),
    World("flight-of-the-amazon-queen", "en", r"^[0-9A-F]{6}(?P<speaker>[A-Z])[0-9]\.SB$", queen_voices, minutes=4.0),
    World("drascula", "en", r"\.ALS$", drascula_voices, minutes=15.0),
    World("codec2-examples", "en", r"/raw/(?P<speaker>hts[12]a|[fm]orig|kristoff|vk5qi|ve9qrp_10s|cq_ref)\.raw$", raw_voices),
)


def build(out: Path, worlds: tuple[World, ...] = WORLDS) -> int:
    """Fetch the packages and write OUT/manifest.csv with OUT/audio; the number of clips. A package that cannot be
    fetched is left out and named. OSError when nothing can be fetched at all."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise OSError("apt-get and dpkg-deb are needed: this reads Debian packages")
    (out / "audio").mkdir(parents=True, exist_ok=True)
    bar = tqdm(worlds, desc="worlds", unit="package")
    for world in bar:
        bar.set_postfix_str(world.package)
        part = out / f"{world.package}.csv"  # there once the package is done: a run that was stopped goes on here
        if part.is_file():
            continue
        with tempfile.TemporaryDirectory() as folder:
            if fetch(world.package, Path(folder)):
                write_rows(part, write_world(world, Path(folder), out))
            else:
                tqdm.write(f"{world.package}: not to be had from this system's mirror, left out")
    rows = [row for part in sorted(out.glob("*.csv")) if part.name != "manifest.csv" for row in read_rows(part)]
    if not rows:
        raise OSError("no package could be fetched: is a Debian mirror configured?")
    write_rows(out / "manifest.csv", rows)
    return len(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def fetch(package: str, folder: Path) -> bool:
    """Download `package` and unpack it below `folder`, installing nothing. False when there is no such package."""
    got = subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True, check=False)
    files = sorted(folder.glob("*.deb"))
    if got.returncode or not files:
        return False
    subprocess.run(["dpkg-deb", "-x", files[0], folder / "x"], check=True, capture_output=True)
    files[0].unlink()
    return True


def write_world(world: World, folder: Path, out: Path) -> list[dict[str, str]]:
    """The clips of an unpacked package as FLAC files; their manifest rows."""
    groups: dict[tuple[str, str], list[Samples]] = defaultdict(list)
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    pattern = re.compile(world.pattern)
    for name, samples, rate in world.read(folder / "x"):
        found = pattern.search(name)
        if found is None:
            continue
        parts = found.groupdict()
        key = (parts.get("world") or "", parts.get("speaker") or "")
        piece = trim(resample(samples, rate, RATE))
        if len(piece) >= SHORTEST_S * RATE:
            groups[key].append(piece)
            names[key].append(name)
    return [row for key in groups for row in _write_group(world, key, groups[key], out)]


def _write_group(world: World, key: tuple[str, str], pieces: list[Samples], out: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    left, label = world.minutes * 60 * RATE, "-".join(part for part in key if part)
    for number, clip in enumerate(join(pieces)):
        if left <= 0:
            break
        left -= len(clip)
        name = "-".join(part for part in (world.package, label, f"{number:04}") if part)
        write_flac(out / "audio" / f"{name}.flac", levelled(clip))
        repo = "/".join(part for part in ("debian", world.package, key[0]) if part)
        rows.append({
            "path": f"audio/{name}.flac", "split": "train", "label": "bonafide",
            "speaker": f"debian:{world.package}:{label}", "language": world.language or key[0],
            "duration_s": f"{len(clip) / RATE:.2f}", "repo": repo, "orig_path": world.package, "licence": "see package",
        })  # fmt: skip
    return rows


def join(pieces: list[Samples]) -> Iterator[Samples]:
    """Clips of 1 to 10 s: short recordings in a row, long ones cut."""
    held: list[Samples] = []
    for piece in pieces:
        for start in range(0, len(piece), int(LONGEST_S * RATE)):
            held.append(piece[start : start + int(LONGEST_S * RATE)])
            if sum(map(len, held)) >= WISHED_S * RATE:
                yield np.concatenate(held)[: int(LONGEST_S * RATE)]
                held = []
    if sum(map(len, held)) >= RATE:
        yield np.concatenate(held)


def trim(samples: Samples, keep_s: float = 0.06) -> Samples:
    """Without the quiet ends: 20 ms blocks 35 dB below the loudest, but for `keep_s` on each side."""
    blocks = samples[: len(samples) // 320 * 320].reshape(-1, 320).astype(np.float64)
    if not len(blocks):
        return samples[:0]
    power = (blocks**2).mean(axis=1)
    loud = np.flatnonzero(power > max(power.max() * 10**-3.5, 1.0))
    if not len(loud):
        return samples[:0]
    start = max(0, int(loud[0]) * 320 - int(keep_s * RATE))
    return samples[start : (int(loud[-1]) + 1) * 320 + int(keep_s * RATE)]


def levelled(clip: Samples) -> Samples:
    """At LEVEL, rounded to STEP, clipped."""
    wide = clip.astype(np.float64) / 32768
    scaled = wide * LEVEL / max(active_level(wide), 1e-6)
    rounded: Samples = np.clip(np.rint(scaled * 32768 / STEP) * STEP, -32768, 32767 // STEP * STEP).astype(np.int16)
    return rounded


def write_flac(path: Path, samples: Samples) -> None:
    """int16 [n] at 16 kHz."""
    import av

    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
