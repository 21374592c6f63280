"""`vivavoce screen` on recordings and captures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
