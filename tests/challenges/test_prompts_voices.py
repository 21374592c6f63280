"""The voices themselves: the real espeak-ng, and a stand-in for piper that writes down how it was called."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from challenges.clips import active_level
from challenges.content import clip_texts
from challenges.languages import LANGUAGES, load
from engine.errors import VivavoceError
from tests.challenges.packs import tone, write_wav
from vivavoce.cli import main
from vivavoce.voices import Espeak, Piper, make_clip, resample, trim

PIPER = """#!/bin/sh
echo "$@" > "{folder}/called"
cat > "{folder}/heard"
while [ "$1" != --output_file ]; do shift; done
cp "{folder}/voice.wav" "$2"
"""


@pytest.fixture
def espeak() -> Espeak:
    """The real one; without it a test fails in CI and is skipped elsewhere."""
    if not shutil.which("espeak-ng"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("espeak-ng is not installed")
    return Espeak()


@pytest.mark.peer
@pytest.mark.parametrize("language", LANGUAGES)
def test_espeak_knows_every_language_that_is_asked_for(espeak: Espeak, language: str) -> None:
    spoken = {voice for _, voice in clip_texts(language).values()}
    assert language in spoken
    assert [voice for voice in spoken if not espeak.speaks(voice)] == []


@pytest.mark.peer
def test_espeak_speaks_accents_and_what_looks_like_an_option(espeak: Espeak) -> None:
    plain, rate = espeak.say("Bitte flüstern Sie.", "de")
    assert 1.0 < len(plain) / rate < 4.0
    assert len(espeak.say("Bitte flustern Sie.", "de")[0]) != len(plain), "the umlaut was not heard"
    for text in ("--version", "-f /etc/passwd", "<break/>", "'; true"):
        samples, rate = espeak.say(text, "en")
        assert active_level(samples, rate) > -30.0


@pytest.mark.peer
def test_espeak_speaks_one_text_always_alike(espeak: Espeak) -> None:
    first, again = (espeak.say("river", "en")[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.peer
def test_words_keep_their_soft_ends(espeak: Espeak) -> None:
    """The burst of a final t comes after a pause and is weak: a trimming that cuts it makes another word."""
    samples, rate = espeak.say("rabbit", "en")
    clip = make_clip(samples, rate)[16000]
    blocks = (clip[: len(clip) // 80 * 80].astype(float).reshape(-1, 80) ** 2).mean(axis=1)
    vowel_end = np.flatnonzero(blocks > blocks.max() / 30)[-1]
    high = np.abs(np.fft.rfft(clip[(vowel_end + 1) * 80 :].astype(float)))
    assert high[len(high) // 4 :].sum() > high[: len(high) // 4].sum(), "no burst after the last vowel"
    assert len(clip) < len(resample(samples, rate, 16000)), "nothing was cut"


@pytest.mark.peer
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("espeak")
def test_the_command_builds_a_language_that_check_finds_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompts", "build", str(tmp_path / "pack"), "--language", "en"]) == 0
    said = capsys.readouterr()
    assert "clips in en, spoken by espeak-ng 1." in said.out
    assert "100%" in said.err
    assert main(["prompts", "check", str(tmp_path / "pack"), "--language", "en", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["faults"] == report["missing"] == []
    assert report["clips"] == {"en": len(clip_texts("en"))}


def test_espeak_that_is_not_there_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["prompts", "build", str(tmp_path / "pack")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "vivavoce prompts: espeak-ng is not installed; on Debian: apt-get install espeak-ng"
    assert not (tmp_path / "pack").exists()


def make_piper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str = PIPER) -> Path:
    """A program called piper on the PATH, and a French voice for it -> the voice's file."""
    write_wav(folder / "voice.wav", tone(22050), 22050)
    program = folder / "piper"
    program.write_text(script.format(folder=folder))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    model = folder / "fr_FR-siwis-medium.onnx"
    model.touch()
    Path(f"{model}.json").write_text(json.dumps({"language": {"code": "fr_FR", "family": "fr"}}))
    return model


def test_piper_runs_as_a_program_with_its_noise_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_piper(tmp_path, monkeypatch)
    piper = Piper(model)
    samples, rate = piper.say("Répétez ces mots :", "fr")
    assert (len(samples), rate) == (8820, 22050)
    assert (tmp_path / "heard").read_text() == "Répétez ces mots :\n"
    called = (tmp_path / "called").read_text().split()
    assert called[:2] == ["--model", str(model)]
    assert called[-4:] == ["--noise_scale", "0", "--noise_w", "0"]
    assert piper.name == "piper fr_FR-siwis-medium"
    assert piper.speaks("fr")
    assert not piper.speaks("sw")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\necho 'loading' >&2\necho 'no such model' >&2\nexit 1\n", "piper failed over 'oui': no such model"),
        ("#!/bin/sh\nexit 0\n", "piper gave no WAV file"),
        ("#!/bin/sh\nexit 3\n", "piper failed over 'oui': 3"),
    ],
)
def test_a_piper_that_fails_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    model = make_piper(tmp_path, monkeypatch, script)
    with pytest.raises(VivavoceError, match=said):
        Piper(model).say("oui", "fr")


def test_piper_or_its_voice_missing_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_piper(tmp_path, monkeypatch)
    with pytest.raises(VivavoceError, match="does not exist"):
        Piper(tmp_path / "nobody.onnx")
    (tmp_path / "piper").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VivavoceError, match="piper is not installed"):
        Piper(model).say("oui", "fr")
    for text in ("", "[]", '{"language": "fr"}', "{}"):
        Path(f"{model}.json").write_text(text)
        with pytest.raises(VivavoceError, match="does not say the voice's language"):
            Piper(model)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(22050, 16000), (22050, 8000), (16000, 8000), (8000, 16000), (48000, 16000)])
def test_resampling_keeps_length_pitch_and_level(rate_in: int, rate_out: int) -> None:
    out = resample(tone(rate_in, 1.0, hz=1000), rate_in, rate_out)
    assert abs(len(out) - rate_out) <= 2
    middle = out[rate_out // 10 : -rate_out // 10].astype(float)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * rate_out / len(middle) == pytest.approx(1000, abs=2)
    assert active_level(out, rate_out) == pytest.approx(-20.0, abs=0.2)


def test_trimming_keeps_all_sound_and_a_short_margin() -> None:
    sound = tone(16000, 0.5)
    padded = np.concatenate([np.zeros(8000, np.int16), sound, np.zeros(16000, np.int16)])
    cut = trim(padded, 16000, -20.0)
    assert len(sound) <= len(cut) <= len(sound) + 2 * 640 + 640
    assert trim(sound, 16000, -20.0).size == sound.size


@pytest.mark.peer
def test_a_recogniser_reads_most_english_words_back(espeak: Espeak) -> None:
    """Each word alone among all of them, which is harder than what a caller does: he hears an instruction first."""
    sphinx = pytest.importorskip("pocketsphinx")
    words = load("en").words
    decoder = sphinx.Decoder(logfn=os.devnull, lm=None)
    decoder.add_jsgf_string("words", f"#JSGF V1.0; grammar words; public <word> = {' | '.join(words)};")
    decoder.activate_search("words")
    silence = np.random.default_rng(1).normal(0, 8, 4000).astype(np.int16)
    read = 0
    for word in words[::5]:
        clip = make_clip(*espeak.say(word, "en"))[16000]
        decoder.start_utt()
        decoder.process_raw(np.concatenate([silence, clip, silence]).tobytes(), full_utt=True)
        decoder.end_utt()
        read += decoder.hyp() is not None and decoder.hyp().hypstr == word
    assert read >= 0.8 * len(words[::5])
