"""Loading a pack: what is refused, and that the sentence names the clip."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from challenges.clips import PackError, PromptError, active_level
from challenges.prompts import PromptPack
from tests.challenges.packs import make_pack, replace_wav, tone, write_manifest

WORD = "en/word/river"
NAMES = ("en/instruction/whisper", WORD, "en/word/ample")


@pytest.fixture
def manifest(tmp_path: Path) -> dict[str, Any]:
    return make_pack(tmp_path, NAMES)


def refusal(folder: Path) -> str:
    with pytest.raises(PackError) as refused:
        PromptPack.load(folder)
    return str(refused.value)


def file_of(manifest: dict[str, Any], rate: int = 8000) -> dict[str, str]:
    return manifest["clips"][WORD]["files"][str(rate)]


def test_a_faultless_pack_loads(tmp_path: Path, manifest: dict[str, Any]) -> None:
    pack = PromptPack.load(tmp_path)
    assert sorted(pack.manifest.clips) == sorted(NAMES)
    assert pack.manifest.languages == ("en",)
    assert pack.manifest.clips[WORD].text == "river"


def test_a_folder_without_a_manifest_is_no_pack(tmp_path: Path) -> None:
    assert "manifest.json" in refusal(tmp_path)
    assert "nowhere" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\ufeff{}", "[]", "null"])
def test_a_manifest_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    assert str(tmp_path) in refusal(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 2), ("schema", None), ("rates", [8000]), ("rates", "8000"),
        ("level_dbfs", -26), ("voice", 7), ("clips", []), ("clips", {}),
    ],
)  # fmt: skip
def test_a_manifest_field_of_another_kind_is_named(tmp_path: Path, manifest: dict[str, Any], field: str, value: Any) -> None:
    write_manifest(tmp_path, {**manifest, field: value})
    assert field in refusal(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"text": " "}, {"text": None}, {"voice": []},
        {"files": {}}, {"files": {"8000": {}}}, {"files": {"8000": {}, "16000": {}}},
    ],
)  # fmt: skip
def test_an_entry_of_another_form_names_the_clip(tmp_path: Path, manifest: dict[str, Any], change: dict[str, Any]) -> None:
    manifest["clips"][WORD].update(change)
    write_manifest(tmp_path, manifest)
    assert WORD in refusal(tmp_path)


@pytest.mark.parametrize("file", ["/etc/passwd", "../outside.wav", "a/../../outside.wav", "..\\outside.wav", "", "a\0b", 7])
def test_a_file_outside_the_pack_is_refused(tmp_path: Path, file: Any) -> None:
    pack = tmp_path / "pack"
    manifest = make_pack(pack, NAMES)
    (tmp_path / "outside.wav").write_bytes((pack / file_of(manifest)["file"]).read_bytes())
    file_of(manifest)["file"] = file
    write_manifest(pack, manifest)
    assert WORD in refusal(pack)


def test_a_link_out_of_the_pack_is_refused(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    manifest = make_pack(pack, NAMES)
    inside = pack / file_of(manifest)["file"]
    inside.rename(tmp_path / "outside.wav")
    inside.symlink_to(tmp_path / "outside.wav")
    assert "outside the pack" in refusal(pack)


def test_a_missing_file_is_named(tmp_path: Path, manifest: dict[str, Any]) -> None:
    (tmp_path / file_of(manifest)["file"]).unlink()
    assert f"{WORD}: 8000/en/word/river.wav does not exist" in refusal(tmp_path)


def test_a_changed_byte_is_noticed(tmp_path: Path, manifest: dict[str, Any]) -> None:
    path = tmp_path / file_of(manifest)["file"]
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert "sha256" in refusal(tmp_path)


def test_a_file_too_large_is_not_read(tmp_path: Path, manifest: dict[str, Any]) -> None:
    with (tmp_path / file_of(manifest)["file"]).open("r+b") as file:
        file.truncate(1 << 33)  # sparse: reading it would take minutes and all memory
    assert "more than 15 s" in refusal(tmp_path)


def test_every_fault_is_counted(tmp_path: Path, manifest: dict[str, Any]) -> None:
    for name in NAMES:
        (tmp_path / manifest["clips"][name]["files"]["16000"]["file"]).unlink()
    assert "and 2 more" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("samples", "form", "said"),
    [
        (tone(8000, 0.4, -18.4), {}, "-18.4 dBFS"),
        (tone(8000, 0.4, -21.6), {}, "-21.6 dBFS"),
        (np.zeros(3200, np.int16), {}, "-inf dBFS"),
        (tone(8000, 0.05), {}, "0.05 s"),
        (tone(8000, 15.1), {}, "15.10 s"),
        (tone(8000, 0.5), {}, "0.40 s at one rate and 0.50 s"),
        (tone(8000, 0.4), {"written_rate": 11025}, "11025 Hz"),
        (tone(8000, 0.4), {"channels": 2}, "2 channels"),
    ],
    ids=["loud", "quiet", "silent", "short", "long", "unequal", "rate", "stereo"],
)
def test_a_sound_unfit_to_be_played_is_refused(
    tmp_path: Path, manifest: dict[str, Any], samples: np.ndarray, form: dict[str, int], said: str
) -> None:
    replace_wav(tmp_path, manifest, WORD, 8000, samples, **form)
    sentence = refusal(tmp_path)
    assert WORD in sentence
    assert said in sentence


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\x24\x00\x00\x00WAVE", b"OggS" + bytes(60)])
def test_what_is_no_wav_file_is_refused(tmp_path: Path, manifest: dict[str, Any], content: bytes) -> None:
    entry = file_of(manifest)
    (tmp_path / entry["file"]).write_bytes(content)
    entry["sha256"] = hashlib.sha256(content).hexdigest()
    write_manifest(tmp_path, manifest)
    assert "no WAV file" in refusal(tmp_path)


def test_errors_are_value_errors() -> None:
    assert issubclass(PackError, PromptError)
    assert issubclass(PromptError, ValueError)


@pytest.mark.parametrize("dbfs", [-40.0, -20.0, -3.1])
def test_the_active_level_of_a_tone_is_its_rms(dbfs: float) -> None:
    assert active_level(tone(8000, 1.0, dbfs), 8000) == pytest.approx(dbfs, abs=0.05)


def test_pauses_do_not_lower_the_active_level() -> None:
    speech, noise = tone(8000, 1.0), tone(8000, 3.0, -60.0)
    assert active_level(np.concatenate([noise, speech, noise]), 8000) == pytest.approx(-20.0, abs=0.1)
    assert active_level(np.zeros(8000, np.int16), 8000) == -math.inf
    assert active_level(np.zeros(10, np.int16), 8000) == -math.inf
