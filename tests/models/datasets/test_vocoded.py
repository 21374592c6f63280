"""WaveFake and LibriSeVoc on made-up trees."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from models.datasets import detect, read
from tests.models.datasets.trees import by_stem, complaints, plant

LISTS = {
    "train.txt": "27_123349_000006_000000.wav\n",
    "dev.txt": "26_496_000022_000003.wav\n",
    "test.txt": "40_222_000007_000000.wav\n",
}


def test_wavefake_s_folders_are_speaker_and_vocoder(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "wavefake/ljspeech_hifiGAN/LJ001-0001_gen.wav",
        "wavefake/jsut_parallel_wavegan/BASIC5000_0001_gen.wav",
        "wavefake/common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech/gen_0.wav",
        "LJSpeech-1.1/wavs/LJ001-0001.wav",
    )
    assert detect(tmp_path) == "wavefake"
    clips = by_stem(tmp_path)
    copy, person = clips["LJ001-0001_gen"], clips["LJ001-0001"]
    assert (copy.label, copy.generator, copy.speaker, copy.language) == ("spoof", "hifiGAN", "lj", "en")
    assert (clips["BASIC5000_0001_gen"].generator, clips["BASIC5000_0001_gen"].language) == ("parallel_wavegan", "ja")
    assert (person.label, person.generator, person.repo) == ("bonafide", "", copy.repo)
    assert copy.orig_path == person.orig_path == "LJ001-0001"
    assert copy.family == "vocoder-copy-synthesis"
    assert clips["gen_0"].family == "", "synthesis from text is no copy"


def test_the_people_of_jsut_are_no_copies_though_their_folder_is_called_like_some(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "generated_audio/jsut_parallel_wavegan/BASIC5000_0001_gen.wav",
        "jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav",
    )
    clips = list(read(tmp_path))
    assert [(clip.label, clip.generator) for clip in clips] == [("spoof", "parallel_wavegan"), ("bonafide", "")]


def test_no_sentence_of_wavefake_crosses_splits(tmp_path: Path) -> None:
    sentences = [f"LJ001-{n:04d}" for n in range(300)]
    for folder in ("wavefake/ljspeech_melgan", "wavefake/ljspeech_waveglow"):
        plant(tmp_path, *(f"{folder}/{name}_gen.wav" for name in sentences))
    plant(tmp_path, *(f"LJSpeech-1.1/wavs/{name}.wav" for name in sentences))
    splits = defaultdict(set)
    clips = list(read(tmp_path))
    for clip in clips:
        splits[clip.orig_path].add(clip.split)
    assert len(splits) == 300
    assert all(len(found) == 1 for found in splits.values())
    count = Counter(clip.split for clip in clips)
    assert 0.7 < count["train"] / 900 < 0.9
    assert min(count["dev"], count["eval"]) > 45


def test_wavefake_s_split_is_the_same_tomorrow(tmp_path: Path) -> None:
    plant(tmp_path, *(f"ljspeech_melgan/LJ001-{n:04d}_gen.wav" for n in (7, 8, 18)))
    assert [clip.split for clip in read(tmp_path)] == ["train", "dev", "eval"]


def test_ljspeech_s_own_list_counts(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "ljspeech_melgan/LJ001-0001_gen.wav",
        **{"LJSpeech-1.1/metadata.csv": 'LJ001-0007|He said "so|he said so\n'},
    )
    assert [clip.path.name for clip in read(tmp_path) if clip.bonafide] == ["LJ001-0007.wav"]


def test_librisevoc_by_its_lists(tmp_path: Path) -> None:
    plant(tmp_path, "gt/x.wav", "diffwave/x_gen.wav", "wavernn/x_gen.wav", **LISTS)
    assert detect(tmp_path) == "librisevoc"
    clips = list(read(tmp_path))
    assert len(clips) == 9
    assert [clip.path.relative_to(tmp_path).as_posix() for clip in clips[:3]] == [
        "gt/27_123349_000006_000000.wav",
        "diffwave/27_123349_000006_000000_gen.wav",
        "wavernn/27_123349_000006_000000_gen.wav",
    ]
    assert [clip.split for clip in clips[::3]] == ["train", "dev", "eval"]
    assert {clip.generator for clip in clips} == {"", "diffwave", "wavernn"}
    assert clips[0].speaker == clips[1].speaker == "libritts-27"


def test_librisevoc_a_sentence_in_two_lists_is_named(tmp_path: Path) -> None:
    plant(tmp_path, "gt/x.wav", "melgan/x_gen.wav", **LISTS | {"test.txt": LISTS["dev.txt"]})
    assert complaints(tmp_path) == [f"{tmp_path}/test.txt, line 1: 26_496_000022_000003 is in dev.txt too"]


def test_librisevoc_without_lists_has_no_splits(tmp_path: Path) -> None:
    plant(tmp_path, "gt/x.wav", "melgan/x_gen.wav")
    with pytest.raises(ValueError, match=r"train\.txt, dev\.txt and test\.txt are missing"):
        list(read(tmp_path))
