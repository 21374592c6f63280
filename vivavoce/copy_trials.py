"""`vivavoce evaluate --copies`: real clips against copies of those very clips, by synthesis that training never used.

Real and copy share words, speaker, microphone and room, are brought to 8 kHz the same way and pass the same codec
and the same call path: only the synthesis tells them apart.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from engine.call import CallInfo
from engine.config import Settings
from engine.offline import Job
from models import detection, metrics
from vivavoce import service_model
from vivavoce.recordings import Codec, make_job, screen_all, through_codec
from vivavoce.robustness import frames_of

if TYPE_CHECKING:
    from models.corpus import Clip
    from models.store import AudioStore, Entry

POOLED = "pooled"  # all paths but neural codecs


@dataclass(frozen=True)
class Pair:
    """A real clip and one copy of it, scored. LLRs, high = bona fide."""

    source: str  # name of the real clip
    path: str  # that made the copy
    real: float
    copy: float


def prepare(
    folder: Path, rows: Sequence[dict[str, str]], split: str, cache: Path, vocoders: Path
) -> tuple[AudioStore, list[Entry]]:
    """The real clips of `rows` and their copies at 8 kHz, made where the cache lacks them. Stopped, it goes on there.

    What else the cache holds is not among the entries: they depend on `rows` only. Paths without weights are named on
    stderr. ValueError when the extra is not installed or there is no real clip long enough.
    """
    try:
        from models.copies import HELD_OUT, HELD_OUT_PLAN, add_copies, add_originals, timed
        from models.corpus import clip_of
        from models.held_out import held_out_vocoders
        from models.store import AudioStore
    except ImportError as error:
        raise ValueError(f"--copies needs the extra: pip install 'vivavoce[train]' ({error})") from None
    people: list[Clip] = [clip_of(row, folder, row["path"]) for row in rows if row["label"] == "bonafide"]
    seal = zlib.crc32((folder / "manifest.csv").read_bytes(), HELD_OUT_PLAN.seed)
    store = AudioStore(cache / f"copies-{split}-{seal:08x}")  # another corpus under the same names is another cache
    clips = timed(add_originals(store, people, lambda error: print(f"skipped: {error}", file=sys.stderr)), store)
    clips = [clip for clip in clips if clip.duration_s >= HELD_OUT_PLAN.min_s]
    if not clips:
        raise ValueError(f'split "{split}" has no real clip of {HELD_OUT_PLAN.min_s:g} s or more to copy')
    paths = held_out_vocoders(vocoders if vocoders.is_dir() else None)
    if missing := sorted(set(HELD_OUT) - set(paths)):
        print(f"no copies by {', '.join(missing)}: their weights are not in {vocoders}", file=sys.stderr)
    add_copies(store, clips, HELD_OUT_PLAN, vocoders, paths)
    wanted = {(clip.name, f"copy:{path}") for clip, path in HELD_OUT_PLAN.jobs(clips) if path in paths}
    wanted |= {(clip.name, "") for clip in clips}
    return store, [entry for entry in store.entries if (entry.source, entry.generator) in wanted]


def measure(
    store: AudioStore, entries: Sequence[Entry], codecs: Sequence[Codec], settings: Settings, model: Any
) -> dict[str, Any]:
    """The figures by codec and path."""
    from models.copies import HELD_OUT, NEURAL_CODEC

    out: dict[str, Any] = {}
    for codec in codecs:
        pairs = score(store, entries, codec, settings, model)
        out[codec] = figures(pairs, HELD_OUT, model.info.deepfake_llr, NEURAL_CODEC)
    return out


def score(store: AudioStore, entries: Sequence[Entry], codec: Codec, settings: Settings, model: Any) -> list[Pair]:
    """Every copy among `entries` with its original, all through `codec`; 0 where nobody was heard."""
    config = service_model.call_config(settings, model.info)

    def jobs() -> Iterator[Job]:
        for index, entry in enumerate(entries):
            frames = through_codec(frames_of(np.array(store.samples(entry))), codec)
            yield make_job(CallInfo(str(index), "caller", "recording"), frames, config, settings, lambda _: None, key=index)

    llrs = [0.0] * len(entries)
    with tqdm(total=len(entries), unit="clip", desc="copies", file=sys.stderr) as bar:
        for job in screen_all(jobs(), model):
            llrs[job.key] = job.call.llr or 0.0
            bar.update()
    real = {entry.source: llr for entry, llr in zip(entries, llrs, strict=True) if not entry.copy}
    return [
        Pair(entry.source, entry.generator.removeprefix("copy:"), real[entry.source], llr)
        for entry, llr in zip(entries, llrs, strict=True)
        if entry.copy
    ]


def figures(pairs: Sequence[Pair], kinds: Mapping[str, str], threshold: float, apart: str) -> dict[str, Any]:
    """Per path, and pooled over the paths whose kind is not `apart`. Rates 0-1.

    A path's real clips are those it copied, each counted once. Pooled, paths weigh by their copies; `mean_eer` is the
    mean over the paths instead.
    """
    out: dict[str, Any] = {}
    for path in dict.fromkeys(p.path for p in pairs):
        out[path] = {"kind": kinds[path], **_figures([p for p in pairs if p.path == path], threshold)}
    pooled = [p for p in pairs if kinds[p.path] != apart]
    if pooled:
        mean = float(np.mean([row["eer"] for row in out.values() if row["kind"] != apart]))
        out[POOLED] = {"kind": f"all but {apart}", **_figures(pooled, threshold), "mean_eer": mean}
    return out


def _figures(pairs: Sequence[Pair], threshold: float) -> dict[str, Any]:
    real, copies = list({p.source: p.real for p in pairs}.values()), [p.copy for p in pairs]
    caught, told = sum(llr <= threshold for llr in copies), sum(p.copy < p.real for p in pairs)
    low, high = detection.wilson(told, len(pairs))
    return asdict(metrics.summary(real, copies)) | {
        "caught": caught / len(copies),
        "told_apart": told / len(pairs),
        "low": low,
        "high": high,
    }


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """The figures for a person at a terminal, by condition."""
    lines = [f"{'real against copies':34} {'real':>5} {'copy':>5} {'EER %':>6} {'AUROC':>6} {'copy below its real':>20}"]
    for condition, paths in found.items():
        lines += [
            f"{condition + ': ' + name:34} {row['bonafide']:5} {row['spoof']:5} {100 * row['eer']:6.1f} {row['auroc']:6.3f} "
            f"{100 * row['told_apart']:19.1f}%"
            for name, row in paths.items()
        ]
    return lines
