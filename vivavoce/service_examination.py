"""What the service examines with: the prompt pack, the judges that are installed, and where outcomes go."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import structlog

from challenges.content import Question
from challenges.words import Heard, Recogniser
from engine.call import CallConfig
from engine.config import Settings
from engine.errors import ModelError
from engine.outcomes import Outcomes
from engine.policy import Calibration
from models.runtime import ANSWERS_WEIGHTS, OnnxModel, load_model
from vivavoce.examiner import Examiner, examination_config, load_pack
from vivavoce.judging import Ear, Judges, Likeness, Same, Samples, available

log = structlog.get_logger(__name__)
EAR_CHUNK_MS = 320
IDENTITY = Path(__file__).parent.parent / "models" / "weights" / "identity-1.onnx"


async def start(
    settings: Settings, config: CallConfig, model: OnnxModel, redis_url: str, stack: AsyncExitStack
) -> Examiner | None:
    """The examiner of a service; None with examination.mode off. ValueError when the prompt pack is not complete."""
    if settings.examination.mode == "off":
        return None
    if not available():
        log.warning("answers are judged by sound and voice only: pip install 'vivavoce[examine]' to verify tasks too")
    outcomes = Outcomes(redis_url)
    outcomes.start()
    stack.push_async_callback(outcomes.aclose)
    loop = asyncio.get_running_loop()
    examiner = Examiner(
        settings.examination, examination_config(settings.examination, config.policy.deepfake_llr),
        await asyncio.to_thread(judges, settings, model), await asyncio.to_thread(load_pack, settings.examination),
        soon=_soon(loop), chunk_s=config.chunk_samples / config.rate, outcome=outcomes.add,
    )  # fmt: skip
    stack.callback(examiner.close)
    return examiner


def _soon(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], None]], None]:
    def soon(callback: Callable[[], None]) -> None:
        if not loop.is_closed():  # an answer judged while the service ends
            loop.call_soon_threadsafe(callback)

    return soon


def judges(settings: Settings, model: OnnxModel | None) -> Judges:
    """Everything that is installed; `model` is the call's own, which hears what weights for answers were not trained on.
    ModelError is a sentence."""
    ears = [_ear(one) for one in (_for_answers(settings.examination.model), model) if one is not None]
    return Judges(ears, _same_voice(), _words(), available())


def _ear(model: OnnxModel) -> Ear:
    return Ear(model, Calibration(**asdict(model.info.calibration)), model.info.voice)


def _for_answers(path: str) -> OnnxModel:
    """The weights that judge answers, in chunks twice as long as a call's: nobody waits for a part of an answer."""
    try:
        return load_model(Path(path) if path else ANSWERS_WEIGHTS, chunk_ms=EAR_CHUNK_MS)
    except ValueError as error:
        raise ModelError(str(error)) from None


def _same_voice() -> Same | None:
    """The voice model that ships; None when its file is not there."""
    if not IDENTITY.is_file():
        return None
    from models.identity.embed import VoiceEmbedder

    embedder = VoiceEmbedder(IDENTITY)

    def same(before: Samples) -> Likeness:
        one = embedder.voice(before)

        def likeness(answer: Samples) -> float | None:
            other = None if one is None else embedder.voice(answer)
            if one is None or other is None:
                return None
            return embedder.llr_same(one.vector, other.vector, min(one.speech_s, other.speech_s))

        return likeness

    return same


def _words() -> Callable[[Samples, Question], Heard] | None:
    """The recogniser; None when it is not installed."""
    return Recogniser().answer if importlib.util.find_spec("pocketsphinx") is not None else None
