"""`vivavoce score`: the column llr for a list of files, and nothing else changed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from connectors.g711 import decode_mu_law
from connectors.rtp import RtpPacket
from engine.audio import Samples
from tests.connectors.captures import ethernet, ipv4, pcap, udp
from tests.connectors.test_files import encode, write_wav
from tests.test_screen import PERSON, SYNTHETIC, run, screen, short
from vivavoce.samples import SAMPLES, mu_law


def manifest(folder: Path, rows: list[str], header: str = "path,label,note") -> Path:
    path = folder / "in.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def scored(capsys: pytest.CaptureFixture[str], source: Path, *options: str, status: int = 0) -> list[dict[str, str]]:
    out = source.with_name("out.csv")
    assert run(capsys, "score", "--manifest", source, "--out", out, "--quiet", *options)[0] == status
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_score_adds_llr_and_reads_no_label(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    short(PERSON, 6, tmp_path / "sub" / "person.wav")
    short(SYNTHETIC, 6, tmp_path / "fake.wav")
    rows = scored(capsys, manifest(tmp_path, ["sub/person.wav,bonafide,ä", "fake.wav,spoof,b"]))
    kept = [(r["path"], r["label"], r["note"]) for r in rows]
    assert kept == [("sub/person.wav", "bonafide", "ä"), ("fake.wav", "spoof", "b")]
    assert float(rows[0]["llr"]) > float(rows[1]["llr"])
    turned = scored(capsys, manifest(tmp_path, ["sub/person.wav,spoof,ä", "fake.wav,bonafide,b"]))
    assert [r["llr"] for r in turned] == [r["llr"] for r in rows]


def test_score_is_screen_s_number(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = short(PERSON, 6, tmp_path / "a.wav")
    row = scored(capsys, manifest(tmp_path, ["a.wav,,"]))[0]
    assert float(row["llr"]) == pytest.approx(screen(capsys, path)[0]["llr"], abs=1e-4)


def test_score_through_a_codec_and_after_some_seconds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    samples = decode_mu_law(mu_law(PERSON)[: 8 * 8000])
    write_wav(tmp_path / "wide.wav", [np.repeat(samples, 2)], 16000)
    write_wav(tmp_path / "mu.wav", [samples], 8000)
    source = manifest(tmp_path, ["wide.wav,,", "mu.wav,,"])
    plain, coded, early = (scored(capsys, source, *o) for o in ([], ["--codec", "pcmu"], ["--seconds", "2"]))
    assert plain[0]["llr"] != coded[0]["llr"]
    assert plain[1]["llr"] == coded[1]["llr"], "mu-law twice is mu-law"
    assert early[1]["llr"] != plain[1]["llr"]


def test_score_goes_on_after_an_unreadable_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    short(PERSON, 3, tmp_path / "a.wav")
    write_wav(tmp_path / "quiet.wav", [np.zeros(16000, np.int16)], 8000)
    rows = scored(capsys, manifest(tmp_path, ["gone.wav,,", "a.wav,,", "quiet.wav,,"]), status=1)
    assert rows[0]["llr"] == ""
    assert float(rows[1]["llr"]) != 0
    assert float(rows[2]["llr"]) == 0


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("file,label", [], 'no column "path" (its columns: file, label)'),
        ("", [], "(its columns: none)"),
        ("path", ["--seconds", "0"], "--seconds 0.0 must be above 0"),
        ("path", ["--seconds", "nan"], "--seconds nan must be above 0"),
        ("path", ["--model", "no-such.onnx"], "no-such.onnx"),
    ],
)
def test_a_manifest_or_option_that_cannot_be(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, header: str, options: list[str], words: str
) -> None:
    source = manifest(tmp_path, ["a.wav"], header)
    status, _, err = run(capsys, "score", "--manifest", source, "--out", tmp_path / "o.csv", *options)
    assert (status, words in err) == (2, True), err


def test_paths_are_relative_to_the_manifest_wherever_one_stands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus").mkdir()
    short(PERSON, 3, tmp_path / "corpus" / "10:15.wav")  # FFmpeg alone would take "10" for a protocol
    (tmp_path / "corpus" / "in.csv").write_text("path\n10:15.wav\n")
    relative = scored(capsys, tmp_path / "corpus" / "in.csv")
    monkeypatch.chdir(tmp_path / "corpus")
    assert scored(capsys, Path("in.csv")) == relative
    (tmp_path / "corpus" / "in.csv").write_text(f"path\n{tmp_path / 'corpus' / '10:15.wav'}\n")
    assert scored(capsys, Path("in.csv"))[0]["llr"] == relative[0]["llr"]


def test_an_old_llr_is_replaced_and_the_order_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for number in range(70):  # more rows than run side by side, of lengths that end in another order
        write_wav(tmp_path / f"{number}.wav", [np.zeros(8000 - 80 * number, np.int16)], 8000)
    source = manifest(tmp_path, [f"{n}.wav,7.5,{n}" for n in range(70)], "path,llr,note")
    rows = scored(capsys, source)
    assert [(r["path"], r["note"], float(r["llr"])) for r in rows] == [(f"{n}.wav", str(n), 0.0) for n in range(70)]
    assert list(rows[0]) == ["path", "note", "llr"]


def test_after_some_seconds_is_the_score_that_stood_then(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = short(PERSON, 8, tmp_path / "a.wav")
    source = manifest(tmp_path, ["a.wav,,"])
    early, whole, never = (float(scored(capsys, source, *o)[0]["llr"]) for o in (["--seconds", "3"], [], ["--seconds", "99"]))
    assert whole == never, "a file that is too short is scored as it is"
    points = [p for p in screen(capsys, path)[0]["timeline"] if p["net_speech_s"] >= 2.5 and p["net_speech_s"] < 3.6]
    assert min(p["llr"] for p in points) - 0.3 < early < max(p["llr"] for p in points) + 0.3


def test_a_spreadsheet_s_byte_order_mark_is_no_part_of_the_column(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    short(PERSON, 3, tmp_path / "a.wav")
    source = tmp_path / "in.csv"
    source.write_bytes(b"\xef\xbb\xbfpath,x\r\na.wav,1\r\n")
    assert float(scored(capsys, source)[0]["llr"]) != 0


def test_a_row_without_a_usable_path_costs_only_itself(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    short(PERSON, 3, tmp_path / "a.wav")
    source = manifest(tmp_path, ["only-a-note", "x,", "x,.", "x,a\0b", "x,a.wav,more"], "note,path")
    out = tmp_path / "out.csv"
    status, _, err = run(capsys, "score", "--manifest", source, "--out", out, "--quiet")
    assert status == 1
    for words in ("row 1 of", "row 2 of", "in.csv has no path", "is a folder", "a\\x00b' is no file's name"):
        assert words in err, (words, err)
    with out.open(newline="") as file:
        llrs = [row["llr"] for row in csv.DictReader(file)]
    assert llrs[:4] == [""] * 4
    assert float(llrs[4]) != 0


@pytest.mark.parametrize("data", [b"path\n\xff\xfe.wav\n", b'path\n"' + b"a" * 200_000 + b'"\n'], ids=["latin", "endless"])
def test_what_is_no_csv_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.csv").write_bytes(data)
    status, _, err = run(capsys, "score", "--manifest", tmp_path / "in.csv", "--out", tmp_path / "o.csv")
    assert (status, err.count("\n")) == (2, 1)
    assert "in.csv cannot be read as CSV in UTF-8" in err


def test_missing_files_and_folders_are_told_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the model was loaded although the result could not be written")

    monkeypatch.setattr("vivavoce.service_model.load", never)
    source = manifest(tmp_path, ["a.wav,,"])
    for given, out, words in ((tmp_path / "no.csv", "o.csv", "no.csv"), (source, "gone/o.csv", "gone/o.csv"), (source, "", "")):
        status, _, err = run(capsys, "score", "--manifest", given, "--out", tmp_path / out, "--quiet")
        assert (status, words in err, err.count("\n")) == (2, True, 1), err


def capture(path: Path, *legs: bytes) -> Path:
    """A call whose legs, in mu-law, are sent side by side."""
    packets = [
        ethernet(ipv4(udp(RtpPacket(0, n, n * 160, ssrc, speech[n * 160 : n * 160 + 160]).serialize())))
        for n in range(max(map(len, legs)) // 160)
        for ssrc, speech in enumerate(legs, start=5)
        if len(speech) >= n * 160 + 160
    ]
    path.write_bytes(pcap(packets))
    return path


def test_of_a_capture_with_two_legs_the_lowest_counts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    call = capture(tmp_path / "call.pcap", mu_law(PERSON)[: 6 * 8000], mu_law(SYNTHETIC)[: 5 * 8000])
    person, fake = (report["llr"] for report in screen(capsys, call))
    assert person > fake, "the longest leg comes first, and is not the lowest"
    row = scored(capsys, manifest(tmp_path, ["call.pcap,,"]))[0]
    assert float(row["llr"]) == pytest.approx(fake, abs=1e-4)


def test_a_leg_in_which_nobody_speaks_is_not_the_lowest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    speech = next(mu_law(s.path) for s in SAMPLES if screen(capsys, s.path)[0]["llr"] > 0)
    call = capture(tmp_path / "call.pcap", speech, b"\xff" * 6 * 8000)
    person, nobody = (report["llr"] for report in screen(capsys, call))
    assert nobody is None
    assert float(scored(capsys, manifest(tmp_path, ["call.pcap,,"]))[0]["llr"]) == pytest.approx(person, abs=1e-4)


def test_the_second_opinion_hears_every_leg_and_its_lowest_counts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Opinion:
        version = "2"

        def llr(self, samples: Samples) -> float:
            return len(samples) / 8000

    monkeypatch.setattr("vivavoce.second_opinion.load", lambda *_: Opinion())
    capture(tmp_path / "call.pcap", mu_law(SYNTHETIC)[: 3 * 8000], mu_law(SYNTHETIC)[: 2 * 8000])
    rows = scored(capsys, manifest(tmp_path, ["call.pcap,,", "gone.pcap,,"]), status=1)
    assert float(rows[0]["second_llr"]) == pytest.approx(2.0, abs=0.05)
    assert rows[1]["second_llr"] == ""


def test_what_breaks_off_is_named_and_scored_as_far_as_it_goes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    whole = short(PERSON, 6, tmp_path / "whole.wav")
    (tmp_path / "half.wav").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    encode(tmp_path / "whole.flac", "flac", 8000, 6.0)
    flac = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(flac[: len(flac) // 2])
    source = manifest(tmp_path, ["half.wav", " half.flac"], "path")
    status, _, err = run(capsys, "score", "--quiet", "--manifest", source, "--out", tmp_path / "o.csv")
    assert status == 0
    assert "half.wav ends before its header says" in err
    assert "half.flac cannot be decoded to its end" in err


def test_who_is_stopped_leaves_the_table_that_was_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short(PERSON, 3, tmp_path / "a.wav")
    (tmp_path / "o.csv").write_text("old\n")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("csv.DictWriter.writerows", full)
    assert run(capsys, "score", "--manifest", manifest(tmp_path, ["a.wav"], "path"), "--out", tmp_path / "o.csv")[0] == 2
    assert (tmp_path / "o.csv").read_text() == "old\n"


def test_a_path_with_a_line_s_end_in_it_is_no_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    short(PERSON, 3, tmp_path / "a.wav")
    (tmp_path / "in.csv").write_text('path\na.wav\n"a.wav\na.wav\n')
    status, _, err = run(capsys, "score", "--quiet", "--manifest", tmp_path / "in.csv", "--out", tmp_path / "o.csv")
    assert status == 1
    assert "row 2" in err
    assert "is a quotation mark not closed?" in err
