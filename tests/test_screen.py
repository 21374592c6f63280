"""`vivavoce screen` on recordings and captures."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models.weights
from connectors.g711 import decode_mu_law
from connectors.rtp import RtpPacket
from tests.connectors.captures import ethernet, ipv4, pcap, udp
from tests.connectors.test_files import write_wav
from vivavoce import cli
from vivavoce.samples import SAMPLES, mu_law

PERSON, SYNTHETIC = SAMPLES[0].path, next(s.path for s in SAMPLES if s.synthetic)


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    status = cli.main([str(a) for a in arguments])
    out = capsys.readouterr()
    return status, out.out, out.err


def screen(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[dict[str, Any]]:
    status, out, _ = run(capsys, "screen", "--json", *arguments)
    assert status == 0
    reports: list[dict[str, Any]] = json.loads(out)
    return reports


def short(path: Path, seconds: float, to: Path) -> Path:
    """The beginning of a bundled call as a WAV file of its own."""
    return write_wav(to, [decode_mu_law(mu_law(path)[: int(seconds * 8000)])], 8000)


def test_the_timeline_tells_how_the_tag_came_about(capsys: pytest.CaptureFixture[str]) -> None:
    report = screen(capsys, PERSON)[0]
    timeline = report["timeline"]
    assert (timeline[0]["tag"], timeline[0]["llr"], timeline[-1]["kind"]) == ("listening", None, "end")
    assert report["tag"] == timeline[-1]["tag"]
    assert report["net_speech_s"] > 8
    first = next(point for point in timeline if point["tag"] not in ("listening", "no-speech"))
    assert first["net_speech_s"] >= 2.0, "a verdict before there was enough speech"


def test_people_score_above_the_synthesiser(capsys: pytest.CaptureFixture[str]) -> None:
    reports = {Path(r["file"]).stem: r["llr"] for r in screen(capsys, *(s.path for s in SAMPLES))}
    synthetic = reports.pop("synthetic")
    assert all(llr > synthetic for llr in reports.values()), (reports, synthetic)


def test_in_real_time_and_as_fast_as_possible_are_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = short(PERSON, 2.4, tmp_path / "a.wav")
    assert screen(capsys, path) == screen(capsys, "--realtime", path)


def test_a_capture_and_a_recording_of_the_same_audio_score_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    speech = mu_law(PERSON)[: 6 * 8000]
    packets = [RtpPacket(0, n, n * 160, 5, speech[n * 160 : n * 160 + 160]).serialize() for n in range(300)]
    capture = tmp_path / "call.pcap"
    capture.write_bytes(pcap([ethernet(ipv4(udp(p))) for p in packets]))
    wav = write_wav(tmp_path / "a.wav", [decode_mu_law(speech)], 8000)
    one, other = screen(capsys, capture, wav)
    assert (one["source"], other["source"]) == ("capture", "recording")
    assert one["llr"] == other["llr"]
    assert [p["llr"] for p in one["timeline"]] == [p["llr"] for p in other["timeline"]]


def test_stereo_may_be_two_legs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sides = [decode_mu_law(mu_law(p)[: 5 * 8000]) for p in (PERSON, SYNTHETIC)]
    path = write_wav(tmp_path / "s.wav", sides, 8000)
    split, alone = screen(capsys, "--channels", "split", path), screen(capsys, short(PERSON, 5, tmp_path / "p.wav"))
    assert [r["leg"] for r in split] == ["caller", "agent"]
    assert split[0]["llr"] == alone[0]["llr"]


def test_silence_is_no_speech_and_never_a_verdict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = screen(capsys, write_wav(tmp_path / "quiet.wav", [np.zeros(8000 * 12, np.int16)], 8000))[0]
    assert (report["tag"], report["llr"], report["net_speech_s"]) == ("no-speech", None, 0.0)


def test_an_unreadable_file_costs_only_itself(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good = short(PERSON, 3, tmp_path / "good.wav")
    status, out, err = run(capsys, "screen", "--json", tmp_path / "missing.wav", good)
    assert status == 1
    assert "missing.wav does not exist" in err
    first, second = json.loads(out)
    assert (set(first), second["file"]) == ({"file", "error"}, str(good))


@pytest.mark.parametrize("name", ["a.wav", "a.pcap"])
def test_a_file_that_was_cut_short_is_read_and_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    path = short(PERSON, 2, tmp_path / name)
    if name == "a.pcap":
        path.write_bytes(pcap([ethernet(ipv4(udp(RtpPacket(0, n, n * 160, 5, bytes(160)).serialize()))) for n in range(100)]))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    status, out, err = run(capsys, "screen", path)
    assert (status, "s of speech, loss" in out, err.count("\n")) == (0, True, 1)
    assert err.startswith(f"vivavoce screen: {path} ")
    path.write_bytes(whole)
    assert run(capsys, "screen", path)[2] == ""


def test_a_wav_that_was_written_to_a_pipe_is_not_cut_short(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = short(PERSON, 1, tmp_path / "a.wav")
    for length in (0xFFFFFFFF, 0x7FFFF024, 0):
        path.write_bytes(b"RIFF" + length.to_bytes(4, "little") + path.read_bytes()[8:])
        assert run(capsys, "screen", path)[2] == ""


def test_a_screen_for_people_shows_the_tag_and_why(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, _ = run(capsys, "screen", short(PERSON, 3, tmp_path / "a.wav"))
    assert status == 0
    assert "listening" in out
    assert "too-little-speech" in out
    assert "s of speech" in out


@pytest.mark.parametrize(("option", "words"), [("tags.prior=7", "tags.prior"), ("no.such=1", "no.such")])
def test_a_wrong_setting_is_named(capsys: pytest.CaptureFixture[str], option: str, words: str) -> None:
    status, _, err = run(capsys, "screen", "--set", option, PERSON)
    assert status == 2
    assert words in err


def test_what_programs_read_is_the_same_for_every_bundled_call(capsys: pytest.CaptureFixture[str]) -> None:
    for report in screen(capsys, *(s.path for s in SAMPLES)):
        assert set(report) == {
            "file", "source", "leg", "tag", "text", "llr", "probability", "net_speech_s", "audio_s", "loss", "model",
            "timeline",
        }  # fmt: skip
        assert report["loss"] == 0.0
        assert 0 < report["probability"] < 1
        times = [point["media_time_s"] for point in report["timeline"]]
        assert times == sorted(times)
        assert times[-1] == report["audio_s"]
        assert [point["kind"] for point in report["timeline"]].count("end") == 1


def test_files_are_screened_one_after_another_and_alike(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    one, two = short(PERSON, 4, tmp_path / "1.wav"), short(SYNTHETIC, 4, tmp_path / "2.wav")
    reports = screen(capsys, one, two, one)
    assert [Path(r["file"]).name for r in reports] == ["1.wav", "2.wav", "1.wav"]
    assert reports[0] == reports[2], "the call in between left a trace"
    status, out, err = run(capsys, "screen", one, two)
    heads = [line for line in out.splitlines() if not line.startswith(" ")]
    assert heads == [f"{one}  caller  (recording)", f"{two}  caller  (recording)"]
    assert (status, err) == (0, "")


def test_in_real_time_takes_the_time_of_the_call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = short(PERSON, 0.5, tmp_path / "a.wav")
    begun = time.monotonic()
    screen(capsys, "--realtime", path)
    assert time.monotonic() - begun >= 0.48, "the first frame comes at once, the last one 480 ms later"


def test_every_stream_of_a_capture_is_a_leg_of_its_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    speech = mu_law(PERSON)
    packets = [RtpPacket(0, n, n * 160, ssrc, speech[n * 160 : n * 160 + 160]) for n in range(60) for ssrc in (5, 6)]
    (tmp_path / "two.pcap").write_bytes(pcap([ethernet(ipv4(udp(p.serialize()))) for p in packets]))
    reports = screen(capsys, tmp_path / "two.pcap")
    assert [r["leg"].rsplit(" ", 1)[1] for r in reports] == ["0x00000005", "0x00000006"]
    assert reports[0]["timeline"] == reports[1]["timeline"]
    assert reports[0]["audio_s"] == pytest.approx(1.2)


def test_each_unreadable_file_is_named_and_nothing_else_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("only words " * 50)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "no.pcap").write_bytes(pcap([]))
    names = ["talk.txt", "empty.wav", "no.pcap", "gone.wav", ""]
    status, out, err = run(capsys, "screen", *(tmp_path / name for name in names))
    assert (status, out) == (1, "")
    lines = err.splitlines()
    assert len(lines) == len(names)
    for line, name in zip(lines, names, strict=True):
        assert line.startswith("vivavoce screen: ")
        assert str(tmp_path / name) in line
    status, out, _ = run(capsys, "screen", "--json", *(tmp_path / name for name in names))
    assert (status, [set(r) for r in json.loads(out)]) == (1, [{"file", "error"}] * len(names))


def test_a_model_that_cannot_be_loaded_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = tmp_path / "mine.onnx"

    def refused(words: str) -> None:
        status, out, err = run(capsys, "screen", "--json", "--model", model, PERSON)
        assert (status, out, words in err, err.count("\n")) == (2, "", True, 1), err

    refused("mine.onnx")
    model.write_bytes(b"no model")
    refused("mine.json is missing")
    shutil.copy(next(Path(models.weights.__file__).parent.glob("vivavoce-1.json")), tmp_path / "mine.json")
    refused("mine.onnx")
    model.write_bytes(b"")
    refused("mine.onnx")


def test_in_real_time_what_is_known_is_told_as_it_comes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the clock of the call is the only one: at each wait, what has been printed until then."""
    said: list[str] = []
    monkeypatch.setattr("vivavoce.screen.time.sleep", lambda seconds: said.append(capsys.readouterr().out))
    file = short(SYNTHETIC, 6.0, tmp_path / "a.wav")
    status, rest, _ = run(capsys, "screen", "--realtime", file)
    lines = "".join([*said, rest]).splitlines()
    assert (status, lines[0]) == (0, f"{file}  caller  (recording)")
    assert "Listening" in lines[-1] or "speech, loss" in lines[-1]
    waiting = [part for part in said if part]
    assert len(waiting) >= 2, "the head and the first tags came before the end"
    _, plain, _ = run(capsys, "screen", file)
    assert plain.splitlines() == lines
