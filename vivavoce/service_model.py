"""From settings to the model and what every call needs of it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from engine.call import CallConfig
from engine.config import Settings
from engine.errors import ConfigError, ModelError
from engine.explanation import Limits
from engine.policy import Calibration, PolicyConfig
from models.runtime import DEFAULT_WEIGHTS, INT8_WEIGHTS, ModelInfo, OnnxModel, load_model


def load(settings: Settings) -> OnnxModel:
    """The model of the settings. ModelError is a sentence."""
    chosen = settings.model
    path = Path(chosen.path) if chosen.path else {"fp32": DEFAULT_WEIGHTS, "int8": INT8_WEIGHTS}[chosen.form]
    try:
        return load_model(path, device=chosen.device, chunk_ms=chosen.chunk_ms)
    except ValueError as error:
        raise ModelError(str(error)) from None


def call_config(settings: Settings, info: ModelInfo) -> CallConfig:
    """What all calls share: the settings over the model's own calibration and thresholds."""
    tags, calls, fitted = settings.tags, settings.calls, info.calibration
    policy = PolicyConfig(
        calibration=Calibration(**asdict(fitted)),
        deepfake_llr=info.deepfake_llr if tags.deepfake_llr is None else tags.deepfake_llr,
        human_llr=info.human_llr if tags.human_llr is None else tags.human_llr,
        margin=tags.margin,
        min_speech_s=tags.min_speech_s,
        forget_s=tags.forget_s,
        prior=tags.prior,
    )
    if policy.deepfake_llr >= policy.human_llr:
        raise ConfigError(
            f"tags.deepfake_llr = {policy.deepfake_llr} must be below tags.human_llr = {policy.human_llr} "
            "(the model's own where unset)"
        )
    return CallConfig(
        rate=info.rate,
        chunk_samples=info.chunk_samples,
        model=info.version,
        policy=policy,
        no_audio_s=calls.no_audio_s,
        no_speech_s=calls.no_speech_s,
        score_interval_s=tags.score_interval_s,
        limits=Limits(info.unfamiliar, info.doubt_human, info.doubt_fake),
        voice=info.voice,
    )


def worker_count(settings: Settings) -> int:
    """Scoring threads: as set, else one per core but one, which is left to the network."""
    return settings.model.workers or max(1, (os.cpu_count() or 2) - 1)
