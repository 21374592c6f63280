"""Building a pack with made-up voices: what is spoken by whom, recordings in place of clips, failures that leave things be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from challenges.clips import PromptError, active_level, read_clip
from challenges.content import clip_texts
from challenges.prompts import PromptPack
from engine.audio import Samples
from engine.errors import VivavoceError
from tests.challenges.packs import make_pack, tone, write_manifest, write_wav
from vivavoce import prompts
from vivavoce.cli import main
from vivavoce.prompts import build, parse_voices
from vivavoce.voices import Recordings


class Humming:
    """A voice that hums every text in one pitch, between silences."""

    name = "humming 1.0"

    def __init__(self, *languages: str, seconds: float = 0.3, rate: int = 22050) -> None:
        self.languages, self.seconds, self.rate = languages, seconds, rate
        self.said: list[tuple[str, str]] = []

    def speaks(self, language: str) -> bool:
        return not self.languages or language in self.languages

    def say(self, text: str, language: str) -> tuple[Samples, int]:
        self.said.append((text, language))
        silence = np.zeros(self.rate // 2, np.int16)
        return np.concatenate([silence, tone(self.rate, self.seconds, -32.0), silence]), self.rate


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three clips a language instead of four hundred."""
    texts = {"instruction/whisper": ("Please whisper:", ""), "word/río": ("Río", ""), "foreign-sw/kitabu": ("kitabu", "sw")}

    def few(language: str) -> dict[str, tuple[str, str]]:
        return {f"{language}/{name}": (text, spoken or language) for name, (text, spoken) in texts.items()}

    monkeypatch.setattr(prompts, "clip_texts", few)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_text_is_spoken_in_its_language_and_written_at_both_rates(tmp_path: Path) -> None:
    voice = Humming()
    pack = build(tmp_path / "a" / "pack", ["en", "de"], [voice])
    assert sorted(voice.said) == [
        ("Please whisper:", "de"), ("Please whisper:", "en"), ("Río", "de"), ("Río", "en"), ("kitabu", "sw"), ("kitabu", "sw"),
    ]  # fmt: skip
    assert pack.manifest.languages == ("de", "en")
    assert pack.manifest.clips["en/word/río"].text == "Río"
    assert pack.manifest.clips["en/word/río"].files[8000].file == "8000/en/word/río.wav"
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["pack"], "something of the making was left behind"


@pytest.mark.parametrize("rate", [8000, 16000])
def test_clips_are_trimmed_and_brought_to_the_level(tmp_path: Path, rate: int) -> None:
    pack = build(tmp_path / "pack", ["en"], [Humming()])
    samples = read_clip(pack.folder, pack.manifest.clips["en/word/río"], rate)
    assert 0.3 <= len(samples) / rate <= 0.42
    assert active_level(samples, rate) == pytest.approx(-20.0, abs=0.2)
    spectrum = np.abs(np.fft.rfft(samples.astype(float)))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(440, abs=5)


def test_nothing_above_4_khz_folds_into_the_narrow_clip(tmp_path: Path) -> None:
    class Hissing(Humming):
        def say(self, text: str, language: str) -> tuple[Samples, int]:
            return tone(22050, 0.5, -30.0, hz=1000) + tone(22050, 0.5, -30.0, hz=5000), 22050

    pack = build(tmp_path / "pack", ["en"], [Hissing()])
    samples = read_clip(pack.folder, pack.manifest.clips["en/word/río"], 8000)[800:-800].astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    hz = np.fft.rfftfreq(len(samples), 1 / 8000)
    folded = spectrum[(hz > 2900) & (hz < 3100)].max()
    assert folded < spectrum.max() / 300


def test_the_same_build_gives_the_same_bytes(tmp_path: Path) -> None:
    build(tmp_path / "one", ["es"], [Humming()])
    build(tmp_path / "two", ["es"], [Humming()])
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert len(tree(tmp_path / "one")) == 7


def test_the_first_voice_that_knows_the_language_speaks(tmp_path: Path) -> None:
    french, all_ = Humming("fr"), Humming()
    french.name = "french 2"
    pack = build(tmp_path / "pack", ["fr", "es"], [french, all_])
    assert {language for _, language in french.said} == {"fr"}
    assert {language for _, language in all_.said} == {"es", "sw"}
    assert pack.manifest.voice == "french 2; humming 1.0"
    assert pack.manifest.clips["fr/word/río"].voice == "french 2"


def test_a_language_no_voice_knows_is_named_with_the_clip(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"en/foreign-sw/kitabu: no voice speaks the language sw"):
        build(tmp_path / "pack", ["en"], [Humming("en")])
    assert list(tmp_path.iterdir()) == []


def test_a_recording_takes_the_place_of_a_clip(tmp_path: Path) -> None:
    recorded = tmp_path / "own"
    speech = np.concatenate([np.zeros(48000, np.int16), tone(48000, 0.5, -35.0, hz=700), np.zeros(48000, np.int16)])
    write_wav(recorded / "en/word/ri\u0301o.wav", np.repeat(speech, 2), 48000, channels=2)  # decomposed, as macOS writes it
    voice = Humming()
    pack = build(tmp_path / "pack", ["en"], [voice], Recordings(recorded))
    clip = pack.manifest.clips["en/word/río"]
    assert clip.voice == "recording"
    assert pack.manifest.voice == "humming 1.0; recording"
    assert ("Río", "en") not in voice.said
    samples = read_clip(pack.folder, clip, 16000)
    assert 0.5 <= len(samples) / 16000 <= 0.62
    assert active_level(samples, 16000) == pytest.approx(-20.0, abs=0.2)


def test_a_recording_under_a_mistyped_name_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "own/en/word/rio.wav", tone(16000), 16000)
    with pytest.raises(PromptError, match=r"rio\.wav is the recording of no clip; did you mean en/word/río"):
        build(tmp_path / "pack", ["en"], [Humming()], Recordings(tmp_path / "own"))


def test_recordings_of_other_languages_may_lie_there_too(tmp_path: Path) -> None:
    write_wav(tmp_path / "own/fr/word/río.wav", tone(16000), 16000)
    (tmp_path / "own/notes.txt").write_text("take 2 is better")
    assert "fr" not in build(tmp_path / "pack", ["en"], [Humming()], Recordings(tmp_path / "own")).manifest.languages


def test_two_recordings_of_one_clip_are_refused(tmp_path: Path) -> None:
    for name in ("río.wav", "río.flac"):
        write_wav(tmp_path / "own/en/word" / name, tone(16000), 16000)
    with pytest.raises(VivavoceError, match="two recordings of one clip"):
        Recordings(tmp_path / "own")


@pytest.mark.parametrize(
    ("samples", "said"),
    [(np.zeros(16000, np.int16), "no sound that could be speech"), (tone(16000, 20.0), "not 0.1 to 15 s")],
    ids=["silent", "long"],
)
def test_a_recording_unfit_to_be_played_is_named(tmp_path: Path, samples: np.ndarray, said: str) -> None:
    write_wav(tmp_path / "own/en/word/río.wav", samples, 16000)
    with pytest.raises(PromptError, match=said) as refused:
        build(tmp_path / "pack", ["en"], [Humming()], Recordings(tmp_path / "own"))
    assert "en/word/río" in str(refused.value)


def test_a_pack_that_is_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    build(tmp_path / "pack", ["en", "es"], [Humming()])
    build(tmp_path / "pack", ["fr"], [Humming()])
    assert PromptPack.load(tmp_path / "pack").manifest.languages == ("fr",)
    assert not (tmp_path / "pack/8000/en").exists()


def test_a_failure_leaves_the_old_pack(tmp_path: Path) -> None:
    build(tmp_path / "pack", ["en"], [Humming()])
    before = tree(tmp_path / "pack")
    with pytest.raises(PromptError):
        build(tmp_path / "pack", ["en"], [Humming(seconds=16.0)])
    assert tree(tmp_path / "pack") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pack"]


def test_the_old_pack_comes_back_when_the_new_cannot_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "pack", ["en"], [Humming()])
    before, rename = tree(tmp_path / "pack"), Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space left"):
        build(tmp_path / "pack", ["fr"], [Humming()])
    assert tree(tmp_path / "pack") == before


def test_a_folder_that_is_no_pack_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    for out in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(PromptError, match="left alone"):
            build(out, ["en"], [Humming()])
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"


def test_an_empty_folder_may_become_a_pack(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    assert build(tmp_path / "pack", ["en"], [Humming()]).check(["en"], ["whisper"]) != []


@pytest.mark.parametrize("voice", ["festival", "piper", "piper:", "espeak-ng:en"])
def test_an_unknown_voice_is_named(voice: str) -> None:
    with pytest.raises(ValueError, match=voice):
        parse_voices([voice])


def test_check_prints_counts_and_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_pack(tmp_path, clip_texts("en"), seconds=0.1)
    assert main(["prompts", "check", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"en  {len(clip_texts('en'))} clips" in printed
    assert "nothing wrong or missing" in printed


def test_check_lists_faults_and_gaps_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = make_pack(tmp_path, ["en/word/river", "en/word/camel"])
    (tmp_path / "8000/en/word/river.wav").unlink()
    assert main(["prompts", "check", str(tmp_path), "--language", "fr", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["missing"] == ["fr: no clip at all"]
    assert report["faults"] == ["clip en/word/river: 8000/en/word/river.wav does not exist"]
    assert report["clips"] == {"en": 2}
    write_manifest(tmp_path, {**manifest, "schema": 9})
    assert main(["prompts", "check", str(tmp_path)]) == 2
    assert "schema is 9" in capsys.readouterr().err


def test_a_long_list_of_gaps_is_cut_short_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_pack(tmp_path, ["en/word/river"])
    assert main(["prompts", "check", str(tmp_path)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) < 30
    assert printed[-1].endswith("more")
