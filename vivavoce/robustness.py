"""`vivavoce evaluate --robustness`: the same clips through every cell of the grid, each through the live call path."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from engine.audio import AudioFrame, Resampler, Samples
from engine.call import CallInfo
from engine.config import Settings
from engine.errors import AudioError
from engine.offline import Job
from models import metrics
from vivavoce import service_model
from vivavoce.recordings import Timed, make_job, only_leg, screen_all

RATE, FRAME = 8000, 160
Clip = tuple[Samples, bool]  # 8 kHz audio, bona fide


def measure(clips: Sequence[Clip], noises: Sequence[Samples], settings: Settings, model: Any) -> list[dict[str, Any]]:
    """EER, AUROC and false positives at the shipped threshold of every cell; the first row is G.711 and nothing else."""
    from models.corruptions import grid  # needs scipy: the extra `train`

    cells = grid(noises)
    plain = next(i for i, cell in enumerate(cells) if (cell.name, cell.level) == ("G.711", "mu"))
    cells.insert(0, cells.pop(plain))
    rows = []
    for cell in tqdm(cells, unit="cell", file=sys.stderr):
        changed = [(cell.change(samples, index), person) for index, (samples, person) in enumerate(clips)]
        llrs = scores(changed, settings, model)
        bona = [llr for llr, (_, person) in zip(llrs, changed, strict=True) if person]
        fake = [llr for llr, (_, person) in zip(llrs, changed, strict=True) if not person]
        rows.append({
            "group": cell.group, "corruption": cell.name, "level": cell.level, "eer": metrics.eer(bona, fake),
            "auroc": metrics.auroc(bona, fake),
            "false_positives": metrics.false_positive_rate(bona, model.info.deepfake_llr),
        })  # fmt: skip
    return rows


def scores(clips: Sequence[Clip], settings: Settings, model: Any) -> list[float]:
    """The LLR of each clip's end; 0 where nobody was heard."""
    config = service_model.call_config(settings, model.info)

    def jobs() -> Iterator[Job]:
        for index, (samples, _) in enumerate(clips):
            info = CallInfo(str(index), "caller", "recording")
            yield make_job(info, frames_of(samples), config, settings, lambda _: None, key=index)

    found = [0.0] * len(clips)
    for job in screen_all(jobs(), model):
        found[job.key] = job.call.llr or 0.0
    return found


def frames_of(samples: Samples) -> Timed:
    """8 kHz audio as 20 ms frames; a rest of less is left out."""
    for start in range(0, len(samples) - FRAME + 1, FRAME):
        yield AudioFrame(samples[start : start + FRAME], RATE, start), (start + FRAME) / RATE


def load(rows: Sequence[dict[str, str]], corpus: Path) -> list[Clip]:
    """The clips at 8 kHz, filtered as live audio is; those unreadable or of several legs are named and left out."""
    clips = []
    for row in tqdm(rows, unit="clip", desc="read", file=sys.stderr):
        try:
            frames = [frame for frame, _ in only_leg(corpus / row["path"])]
        except AudioError as error:
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            continue
        whole = np.concatenate([frame.samples for frame in frames])
        rate = frames[0].rate
        clips.append((Resampler(rate, RATE).feed(whole) if rate != RATE else whole, row["label"] == "bonafide"))
    return clips


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line a cell; beside the EER its ratio to G.711 alone."""
    clean = rows[0]["eer"] or 1e-9
    lines = [f"{'corruption':20} {'level':>14} {'EER %':>6} {'ratio':>6} {'AUROC':>6} {'accused %':>10}"]
    for r in rows:
        lines.append(
            f"{r['corruption']:20} {r['level']:>14} {100 * r['eer']:6.1f} {r['eer'] / clean:6.2f} {r['auroc']:6.3f} "
            f"{100 * r['false_positives']:10.1f}"
        )
    return "\n".join(lines)
