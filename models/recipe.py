"""From a corpus to weights that serve: cache, train, choose, export, calibrate, report. Each stage resumes."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import calibrate, explain, moments_fit, report, voice
from models.calibrate import Recording, Thresholds
from models.calibration import Calibration
from models.conformer import StreamingConformer
from models.copies import DEV_PLAN, MORE_PLAN, TRAIN_PLAN, add_copies, add_originals
from models.corpus import LABELS, Clip, read_corpus, read_manifest
from models.dataset import Sampler, read_noises
from models.export import export
from models.features import RATE
from models.runtime import ModelInfo, load_info, load_model, save_info
from models.selection import Dev
from models.store import AudioStore
from models.train import TrainConfig, Trainer, load_averaged
from models.transcode import add_codings
from models.vocoders import vocoders

log = logging.getLogger(__name__)

Samples = NDArray[np.int16]
CHUNK_SAMPLES = 1280  # 160 ms


@dataclass(frozen=True)
class Places:
    """Where things are read from and written to."""

    corpus: Path  # holds manifest.csv, audio/ and, if there, noise/
    vocoders: Path | None  # folder of vocoder weights; None: copies by signal processing only
    run: Path  # checkpoints and logs of this run
    cache: Path  # 8 kHz audio, shared between runs
    weights: Path  # the .onnx to write; .json beside it
    more: tuple[Path, ...] = ()  # further folders with a manifest of real speech to train on: models/worlds.py makes one
    manifest: Path | None = None  # train on its rows of split train only, paths relative to its folder; None: the corpus's
    own_vocoders: tuple[Path, ...] = ()  # folders of vocoders trained here, whose snapshots make copies too


def train_clips(places: Places) -> list[Clip]:
    """What is trained on of the corpus. ValueError when a manifest names clips that the corpus does not have, or rows of
    the corpus have no split: what a model is chosen by must be nothing that it learned from."""
    corpus = read_corpus(places.corpus, ["train"])
    if unsplit := [clip.path for clip in corpus if not clip.split]:
        raise ValueError(f"{places.corpus}: {unsplit[0]} has no split in manifest.csv; training needs rows of train and of dev")
    if places.manifest is None:
        return corpus
    known = {clip.name: clip for clip in corpus} | {str(clip.path.resolve()): clip for clip in corpus}
    found = []
    for clip in read_manifest(places.manifest, ["train"]):
        of_corpus = known.get(str(clip.path.resolve())) or known.get(clip.name)
        if of_corpus is None:
            raise ValueError(f"{places.manifest}: {clip.name} is not in train of {places.corpus}")
        found.append(of_corpus)
    return found


def further_clips(places: Places, corpus: Sequence[Clip]) -> list[Clip]:
    """What is trained on beside the corpus. ValueError when two clips of different folders have one name."""
    known, found = {clip.name: clip for clip in corpus}, []
    for folder in places.more:
        for clip in read_corpus(folder, ["train"]):
            clip = clip if clip.split else replace(clip, split="train")
            if clip.name in known:
                raise ValueError(f"{clip.path} and {known[clip.name].path} would be one clip, {clip.name}: rename one of them")
            known[clip.name] = clip
            found.append(clip)
    return found


def check_classes(places: Places) -> None:
    """ValueError where train or dev has no people or no fakes, or train holds a file of dev or eval: the caches would be
    filled for hours before it showed."""
    train = train_clips(places)
    parts = {"train": [*train, *further_clips(places, train)], "dev": read_corpus(places.corpus, ["dev"])}
    for split, clips in parts.items():
        there = {clip.label for clip in clips}
        if missing := [label for label in LABELS if label not in there]:
            where = places.manifest if places.manifest and split == "train" else places.corpus
            raise ValueError(f"{where} has no {missing[0]} clips in {split}; training needs both classes in train and in dev")
    apart = {clip.path.resolve(): clip.split for clip in read_corpus(places.corpus, ["dev", "eval"])}
    if known := next((clip.path for clip in parts["train"] if clip.path.resolve() in apart), None):
        raise ValueError(f"{known} is of {apart[known.resolve()]} too: what is trained on must be nothing that judges it")


def prepare(places: Places) -> tuple[AudioStore, AudioStore]:
    """Fill the caches of train and dev: originals, copies, coded versions. Returns both.

    A part of the corpus is copied as it would be in the whole: else a share of it would have more HiFi-GAN per clip, and
    what is in the cache would depend on who came first.
    """
    train, dev = AudioStore(places.cache / "train"), AudioStore(places.cache / "dev")
    paths = vocoders(places.vocoders, places.own_vocoders)
    wanted = train_clips(places)
    for store, split, plan in ((train, "train", TRAIN_PLAN), (dev, "dev", DEV_PLAN)):
        clips = read_corpus(places.corpus, [split])
        add_originals(store, wanted if split == "train" else clips)
        only = {clip.name for clip in wanted} if split == "train" else None
        add_copies(store, clips, plan, places.vocoders, paths, only)
    further = further_clips(places, wanted)
    add_originals(train, further)
    add_copies(train, further, MORE_PLAN, places.vocoders, paths)
    add_codings(train)
    return train.only({clip.name for clip in (*wanted, *further)}), dev  # a cache may hold more by now


def train_and_choose(places: Places, config: TrainConfig, stores: tuple[AudioStore, AudioStore]) -> Path:
    """Train on the first store, judge on the second; the path of the checkpoint that dev liked best."""
    noises, rooms = read_noises(places.corpus / "noise", hold_out=False)
    held_out, _ = read_noises(places.corpus / "noise", hold_out=True)
    dev = Dev(stores[1], read_corpus(places.corpus, ["dev"]), held_out)
    sampler = Sampler(stores[0], config.batch, config.channel, noises, rooms)
    if not wants_second_opinion(config):
        return Trainer(config, sampler, dev, places.run).run()
    from models.second_opinion.tune import Tuner  # needs the extra ssl, as does everything in that folder

    return Tuner(config, sampler, dev, places.run).run()


def wants_second_opinion(config: TrainConfig) -> bool:
    """Whether a recipe is for the heavier model of models/second_opinion. ValueError for a kind nobody knows."""
    kind = config.model.get("kind")
    if kind not in (None, "ssl"):
        raise ValueError(f"[model]: unknown kind {kind!r}; 'ssl', or none for the streaming model")
    return kind == "ssl"


def recordings(store: AudioStore, clips: Sequence[Clip]) -> list[Recording]:
    """The original clips of a store as recordings to be screened, in the order of `clips`."""
    entries = {entry.source: entry for entry in store.entries if not entry.coding and not entry.copy}
    return [
        Recording(np.array(store.samples(entries[c.name])), c.bonafide, "clip", c.repo, c.family, c.generator, c.seen)
        for c in clips
        if c.name in entries
    ]


def call_keys(clips: Sequence[Clip]) -> list[str]:
    """Which clips may be joined into one call: a person's, or a generator's of one repository."""
    return [f"p:{c.repo}:{c.speaker}" if c.bonafide else f"g:{c.generator}:{c.repo}" for c in clips]


def trials_of(store: AudioStore, clips: Sequence[Clip]) -> list[Recording]:
    """Whole clips, prefixes, and calls of 10 and 30 s."""
    known = {entry.source for entry in store.entries if not entry.coding and not entry.copy}
    clips = [clip for clip in clips if clip.name in known]
    whole = recordings(store, clips)
    calls = [call for seconds in (10, 30) for call in calibrate.joined_calls(whole, call_keys(clips), seconds)]
    return calibrate.prefixes(whole) + calls


def answers_of(store: AudioStore, clips: Sequence[Clip]) -> list[Recording]:
    """People's clips and every copy of one in the store, whole and in prefixes: by what `purpose = "answers"` is calibrated."""
    people = {clip.name: clip for clip in clips if clip.bonafide}
    made = [
        Recording(np.array(store.samples(e)), not e.copy, "clip", e.repo, "copy" if e.copy else "", e.generator)
        for e in store.entries
        if not e.coding and e.source in people
    ]
    return calibrate.prefixes(made)


def ship(
    model: StreamingConformer,
    places: Places,
    stores: tuple[AudioStore, AudioStore],
    provenance: dict[str, Any],
    purpose: str = "calls",
    moments: tuple[float, float] = (0.0, 0.0),
    *,
    waves: bool = False,
) -> dict[str, Any]:
    """Export, add moments where they have a share, calibrate on dev, write weights and info. Returns dev's figures."""
    draft = _info(places.weights.stem, Calibration(1.0, 0.0, 0.0, 1.0), Thresholds(-1e9, 1e9), provenance)
    difference = export(model, places.weights, draft)
    clips = train_clips(places)
    voice.fit_weights(places.weights, places.corpus, clips)
    if any(moments):
        _add_moments(places, stores[0].only({clip.name for clip in clips}), moments, waves=waves)
    found = calibrate_weights(places, stores[1], {"onnx_difference": difference}, purpose)
    explain.fit_weights(places.weights, places.corpus, train=clips)
    _write_figures(found, places.run)
    return found


def _add_moments(places: Places, train: AudioStore, shares: tuple[float, float], *, waves: bool) -> None:
    """From the corpus alone: people of other worlds beside it made it worse. One too small to learn moments from costs the
    hours of training nothing but them."""
    try:
        moments_fit.fit_weights(places.weights, train, places.corpus / "noise", shares, waves=waves)
    except ValueError as error:
        log.warning("%s goes without moments: %s", places.weights, error)


def calibrate_weights(places: Places, dev: AudioStore, provenance: dict[str, Any], purpose: str = "calls") -> dict[str, Any]:
    """Fit calibration and thresholds of the weights on dev and write them beside them. Returns dev's figures."""
    held_out, _ = read_noises(places.corpus / "noise", hold_out=True)
    trials = (answers_of if purpose == "answers" else trials_of)(dev, read_corpus(places.corpus, ["dev"]))
    # An answer is held against the same caller's speech over the same line.
    lines = calibrate.CONDITIONS if purpose == "answers" else calibrate.LINES
    scored = calibrate.screen(load_model(places.weights), trials, held_out, lines)
    calibration = calibrate.fit(scored)
    thresholds = calibrate.choose_thresholds(scored, calibration)
    found = report.figures(scored, calibration, thresholds)
    description = places.weights.with_suffix(".json")
    info = load_info(description)
    info = replace(
        info,
        calibration=calibration,
        deepfake_llr=thresholds.deepfake_llr,
        human_llr=thresholds.human_llr,
        provenance={**info.provenance, **provenance, "dev": headline(found)},
    )
    save_info(info, description)
    return found


def ship_second_opinion(
    best: Path, places: Places, config: TrainConfig, stores: tuple[AudioStore, AudioStore]
) -> dict[str, Any]:
    """Calibrate a fine-tuned model on dev and write it as one file. Returns dev's figures."""
    from models.second_opinion.ship import calibrated, finished

    opinion = finished(best, int(config.batch.crop_s * RATE), places.weights.stem, config.device)
    held_out, _ = read_noises(places.corpus / "noise", hold_out=True)
    found = calibrated(opinion, trials_of(stores[1], read_corpus(places.corpus, ["dev"])), held_out)
    opinion.save(places.weights, {**provenance_of(best, stores), "dev": headline(found)})
    _write_figures(found, places.run)
    return found


def _write_figures(found: dict[str, Any], run: Path) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / "dev_figures.json").write_text(json.dumps(found, indent=1, allow_nan=False), encoding="utf-8")
    (run / "dev_figures.md").write_text(report.as_text(found), encoding="utf-8")


def measure(weights: Path, places: Places, split: str) -> dict[str, Any]:
    """Figures of finished weights on a split they were not calibrated on; nothing is fitted here."""
    model = load_model(weights)
    store, clips = AudioStore(places.cache / split), read_corpus(places.corpus, [split])
    add_originals(store, clips)
    noises = read_noises(places.corpus / "noise", hold_out=True, split=split)[0]
    scored = calibrate.screen(model, trials_of(store, clips), noises)
    thresholds = Thresholds(model.info.deepfake_llr, model.info.human_llr)
    return report.figures(scored, model.info.calibration, thresholds)


def _info(version: str, calibration: Calibration, thresholds: Thresholds, provenance: dict[str, Any]) -> ModelInfo:
    return ModelInfo(
        version=version,
        rate=RATE,
        chunk_samples=CHUNK_SAMPLES,
        calibration=calibration,
        deepfake_llr=thresholds.deepfake_llr,
        human_llr=thresholds.human_llr,
        trained=True,
        provenance=provenance,
    )


def headline(found: dict[str, Any]) -> dict[str, float]:
    """EER per condition and length, short enough to stand beside the weights."""
    return {f"eer {c['condition']} {c['span']}": c["eer"] for c in found["cells"]}


def provenance_of(checkpoint: Path, stores: tuple[AudioStore, AudioStore]) -> dict[str, Any]:
    """What made a checkpoint: steps, seed, hours of each kind of audio, when and with what; the licence if one was named."""
    import torch

    from models.train import licence_of, read_checkpoint

    found = read_checkpoint(checkpoint)
    clean = [entry for entry in stores[0].entries if not entry.coding]

    def hours(keep: Sequence[Any]) -> float:
        samples = sum(int(entry.length) for entry in keep)
        return round(samples / RATE / 3600, 2)

    return {
        **licence_of(found),
        "trained": datetime.fromtimestamp(found.get("saved", checkpoint.stat().st_mtime), UTC).strftime("%Y-%m-%d"),
        "steps": found["step"],
        "seed": found["config"]["seed"],
        "batch": asdict_plain(found["config"]["batch"]),
        "hours_bona_fide": hours([e for e in clean if e.label == "bonafide"]),
        "hours_spoof": hours([e for e in clean if e.label == "spoof" and not e.copy]),
        "hours_copies": hours([e for e in clean if e.copy]),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def asdict_plain(value: Any) -> dict[str, Any]:
    """A dataclass or mapping as a plain dict that JSON takes."""
    table = dict(value) if isinstance(value, dict) else asdict(value)
    return {key: dict(item) if hasattr(item, "items") else item for key, item in table.items()}


def from_corpus(places: Places, config: TrainConfig) -> dict[str, Any]:
    """The whole road: corpus in, calibrated weights out. Returns dev's figures."""
    heavier = wants_second_opinion(config)
    if heavier:
        from models.second_opinion.tune import check

        check(config)  # before the hour that the caches take
    check_classes(places)
    stores = prepare(places)
    best = train_and_choose(places, config, stores)
    if heavier:
        return ship_second_opinion(best, places, config, stores)
    told = provenance_of(best, stores)
    return ship(load_averaged(best), places, stores, told, config.purpose, config.moments, waves=config.waves)
