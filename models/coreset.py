"""A small share of a training manifest that stands for the whole: people near their mean, fakes near each cluster.

The embeddings are a finished model's, over G.711; clips that it gets wrong are taken last. After Yousif et al., arXiv
2404.13008, who take such picks of several data sets together and train smaller networks on them.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models import collapse
from models.corpus import Clip, clip_of
from models.embeddings import hear
from models.manifests import Row, read_table
from models.runtime import OnnxModel
from models.selection import TELEPHONE


def read_rows(manifest: Path, split: str = "train") -> tuple[list[Row], list[Clip]]:
    """The rows of a manifest that are of `split` or of none, and their clips. ValueError says what is wrong with it."""
    if not manifest.is_file():
        raise ValueError(f"manifest {manifest} does not exist")
    rows, clips = [], []
    for row, where in read_table(manifest)[1]:
        clip = clip_of(row, manifest.parent, where)
        if clip.split in ("", split):
            rows.append(row)
            clips.append(clip)
    if not rows:
        raise ValueError(f'{manifest} has no rows of split "{split}"')
    return rows, clips


def choose(model: OnnxModel, clips: Sequence[Clip], share: float, clusters: int) -> list[int]:
    """Indices of the clips that stand for the others, ascending. Clips without speech are never among them."""
    place = {clip.path: index for index, clip in enumerate(clips)}
    heard = list(hear(model, clips, [TELEPHONE]))
    if not heard:
        raise ValueError("no speech is found in any clip")
    people = np.array([h.clip.bonafide for h in heard])
    said = np.array([h.level(model.info.calibration) for h in heard]) > model.info.calibration.boundary
    picked = collapse.select(
        np.stack([h.centre for h in heard]), people, share, clusters=clusters, correct=said == people
    )
    return sorted(place[heard[i].clip.path] for i in picked)


def choose_at_random(clips: Sequence[Clip], share: float, seed: int) -> list[int]:
    """As many of each class as `choose` would take of them, by lot: what a choice is to be compared with."""
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share} is not above 0 and at most 1")
    rng = np.random.default_rng(seed)
    picked: list[int] = []
    for person in (True, False):
        group = [i for i, clip in enumerate(clips) if clip.bonafide == person]
        picked += rng.permutation(group)[: max(1, round(len(group) * share))].tolist() if group else []
    return sorted(picked)


def write_rows(rows: Sequence[Row], manifest: Path, out: Path) -> None:
    """A manifest of those rows of MANIFEST, its paths relative to OUT's folder."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            path = os.path.relpath((manifest.parent / row["path"]).resolve(), out.parent.resolve())
            writer.writerow({**row, "path": path})
