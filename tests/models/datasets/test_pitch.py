"""Challenge sets in the layout of PITCH on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import detect, read
from models.datasets.pitch import CHALLENGES
from tests.models.datasets.trees import by_stem, complaints, plant


def test_two_of_three_are_people(tmp_path: Path) -> None:
    plant(tmp_path, "assets/final/imp03.mp3", "assets/final/gt03.mp3", "assets/final/df03.mp3")
    assert detect(tmp_path) == "pitch"
    clips = by_stem(tmp_path)
    assert {stem: clip.label for stem, clip in clips.items()} == {"imp03": "bonafide", "gt03": "bonafide", "df03": "spoof"}
    assert {clip.challenge for clip in clips.values()} == {"whisper"}
    assert clips["df03"].family == "voice-conversion"


def test_a_fake_is_the_impostor_s_utterance_in_the_target_s_voice(tmp_path: Path) -> None:
    plant(tmp_path, "ann/imp01_2.wav", "ann/gt01_2.wav", "ann/df01_2.wav", "bob/df01_2.wav")
    clips = {clip.path.relative_to(tmp_path).as_posix(): clip for clip in read(tmp_path)}
    fake, impostor, target = (clips[f"ann/{role}01_2.wav"] for role in ("df", "imp", "gt"))
    assert fake.orig_path == impostor.orig_path != target.orig_path
    assert fake.speaker == target.speaker != impostor.speaker
    assert clips["bob/df01_2.wav"].orig_path != fake.orig_path


def test_plain_speech_is_no_challenge(tmp_path: Path) -> None:
    plant(tmp_path, "gt00.mp3", "df00.mp3")
    assert {clip.challenge for clip in read(tmp_path)} == {""}


@pytest.mark.parametrize("number", ["11", "15", "23"])
def test_numbers_that_no_challenge_has(tmp_path: Path, number: str) -> None:
    plant(tmp_path, "gt01.mp3", f"df{number}.mp3")
    assert complaints(tmp_path, "pitch") == [f"{tmp_path}/df{number}.mp3: no challenge has the number {number}"]


def test_there_are_twenty_challenges_and_one_without() -> None:
    assert len(CHALLENGES) == 21
    assert len(set(CHALLENGES.values())) == 21


def test_other_names_are_left_alone(tmp_path: Path) -> None:
    plant(tmp_path, "gt01.mp3", "df01.mp3", "gt1.mp3", "music.mp3")
    assert len(list(read(tmp_path))) == 2
