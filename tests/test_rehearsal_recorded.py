"""A rehearsed call kept to listen to: both sides in one file, and nothing else about the call changed."""

from __future__ import annotations

import random
import wave
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from challenges.catalogue import PHONE
from challenges.content import clip_texts
from challenges.examination import ExaminationConfig
from challenges.prompts import PromptPack
from connectors.mixing import MixedRecording
from engine.errors import AudioError
from tests.challenges.packs import make_pack
from tests.engine.test_call import CONFIG
from tests.test_answers_count_once import NOTHING, Model, Shouter
from tests.test_callers import PERSON, STOCK
from vivavoce.challenge_trials import Trial, rehearse_all
from vivavoce.rehearsal import Outcome, Rehearsal, Rules

KEYS = ["speak-loudly"]
HUM = np.ones(8000, np.int16)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> PromptPack:
    folder = tmp_path_factory.mktemp("pack")
    make_pack(folder, clip_texts("en", KEYS))
    return PromptPack.load(folder)


def rules(pack: PromptPack | None) -> Rules:
    judges = SimpleNamespace(judge=lambda *_: NOTHING)
    return Rules(CONFIG, ExaminationConfig(questions=1), judges, Model(), PHONE, pack=pack)  # type: ignore[arg-type]


def rehearse(pack: PromptPack | None, recording: MixedRecording | None = None) -> Outcome:
    caller = Shouter()
    outcome = Rehearsal(caller, KEYS[0], rules(pack), HUM, 40.0, random.Random(1), recording).play()  # type: ignore[arg-type]
    assert outcome is not None
    return outcome


def read(path: Path) -> np.ndarray:
    with wave.open(str(path), "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)


def levels(sound: np.ndarray) -> np.ndarray:
    """dBFS of every 100 ms."""
    blocks = sound[: len(sound) // 800 * 800].reshape(-1, 800)
    return 10 * np.log10((blocks**2).mean(axis=1) + 1e-9) - 20 * np.log10(32768)


def test_the_question_is_heard_between_the_talk_before_it_and_the_answer(tmp_path: Path, pack: PromptPack) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 8000)
    rehearse(pack, recording)
    recording.close()
    talk = len(Shouter().talk()) // 1280 * 1280  # in whole chunks
    loud = levels(read(tmp_path / "call.wav")[talk:])
    assert loud[:4] == pytest.approx([-20.0] * 4, abs=0.5), "the first clip, 0.4 s, at the level of prompts"
    assert loud[4] < -60, "the pause after it, in which the caller is silent too"
    assert loud[5:].max() > -16, "the answer, louder than any prompt"


def test_what_is_kept_changes_nothing_of_how_the_call_goes(tmp_path: Path, pack: PromptPack) -> None:
    for number, spoken in enumerate((pack, None)):
        recording = MixedRecording(tmp_path / f"{number}.wav", 8000)
        assert rehearse(spoken, recording) == rehearse(spoken)
        recording.close()
    with_prompts, without = (read(tmp_path / name) for name in ("0.wav", "1.wav"))
    assert len(with_prompts) > 12 * 8000
    assert levels(without)[62:80].max() < -60, "without a pack nobody speaks the question"


def trials(folder: Path | None, names: Sequence[str] = ("honest", "silent")) -> list[Trial]:
    return list(rehearse_all([PERSON], STOCK, ["whisper", "sing"], names, rules(None), [HUM], 40.0, 0, folder))


def test_every_call_that_can_be_simulated_is_kept_under_its_name_for_this_user_only(tmp_path: Path) -> None:
    found = trials(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == sorted(f"{trial.caller}-{trial.challenge}-ann.wav" for trial in found)
    assert "honest-whisper-ann.wav" in {file.name for file in files}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert all(len(read(file)) > 6 * 8000 for file in files)
    with pytest.raises(AudioError, match=r"-ann\.wav cannot be written: File exists"):
        trials(tmp_path)


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert trials(None)
    assert list(tmp_path.iterdir()) == []
