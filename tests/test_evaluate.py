"""`vivavoce evaluate` on a made-up corpus: figures, joined calls, the page, the grid; and each corruption by itself."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from connectors.g711 import decode_mu_law
from engine.audio import AudioFrame
from models.corruptions import grid, stretched
from tests.connectors.test_files import tone, write_wav
from tests.test_score import capture
from vivavoce import cli, robustness
from vivavoce.evaluate import joined
from vivavoce.recordings import through_codec
from vivavoce.samples import SAMPLES, mu_law

NOISE = [np.random.default_rng(1).normal(0, 500, 16000).astype(np.int16)]
CELLS = grid(NOISE)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of 3 s of the bundled calls, as 16 kHz files with a manifest."""
    folder = tmp_path_factory.mktemp("corpus")
    names = ["path", "split", "label", "generator", "generator_family", "seen", "repo", "speaker", "language", "duration_s"]
    rows = []
    for sample in SAMPLES:
        speech = decode_mu_law(mu_law(sample.path))
        for part in range(4):
            clip = np.repeat(speech[part * 24000 : part * 24000 + 24000], 2)
            path = write_wav(folder / f"{sample.name}-{part}.wav", [clip], 16000)
            fake = sample.synthetic
            rows.append([path.name, "eval", "spoof" if fake else "bonafide", "g" * fake, "tts" * fake, "no", "r",
                         "" if fake else sample.name, "en", "3.0"])  # fmt: skip
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return folder


def evaluate(capsys: pytest.CaptureFixture[str], corpus: Path, *options: str) -> Any:
    assert cli.main(["evaluate", "--corpus", str(corpus), "--split", "eval", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_figures_by_length_call_and_source(capsys: pytest.CaptureFixture[str], corpus: Path) -> None:
    found = evaluate(capsys, corpus, "--codec", "pcmu")["conditions"]["G.711 mu-law"]
    assert set(found["all"]) == {"1 s", "2 s", "whole", "10 s call"}, "no clip is 4 s long, no fake's speaker is named"
    assert found["all"]["whole"]["bonafide"] == 8
    assert found["all"]["2 s"]["bonafide"] < 8, "some speak for less"
    assert found["all"]["10 s call"]["bonafide"] == 2
    assert found["families"]["tts"]["clips"] == 4
    assert (found["time to detect"]["whole"]["spoof"], found["false alarms"]["10 s call"]["trials"]) == (4, 2)
    assert found["false alarms"]["whole"]["hours"] == pytest.approx(8 * 3 / 3600, rel=0.6)  # of 24 s, what is speech
    assert found["subgroups"]["language"]["groups"]["en"]["clips"] == 8
    assert set(found["at the shipped threshold"]["whole"]) == {"false positives", "caught"}


def test_a_call_of_many_clips_needs_no_more_open_files_than_another(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    speech = decode_mu_law(mu_law(SAMPLES[0].path))
    rows = []
    for number in range(140):
        write_wav(tmp_path / f"{number}.wav", [speech[number * 100 : number * 100 + 2000]], 8000)
        rows.append([f"{number}.wav", "eval", "bonafide", "a", "0.25"])
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    rows.append(["broken.wav", "eval", "bonafide", "a", "0.25"])
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "split", "label", "speaker", "duration_s"], *rows])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 100, limits[1]))
    try:
        assert cli.main(["evaluate", "--corpus", str(tmp_path), "--split", "eval", "--codec", "pcmu", "--json"]) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    out = capsys.readouterr()
    found = json.loads(out.out)["conditions"]["G.711 mu-law"]
    assert found["false alarms"]["30 s call"]["trials"] == 1
    assert found["false alarms"]["whole"]["trials"] == 140
    assert out.err.count("skipped: ") == 1
    assert "broken.wav" in out.err


def test_calls_join_one_voice_and_drop_what_is_left() -> None:
    def row(label: str, speaker: str, generator: str = "") -> dict[str, str]:
        return {"label": label, "speaker": speaker, "generator": generator, "repo": "r", "duration_s": "4"}

    rows = [row("bonafide", "a")] * 5 + [row("bonafide", "b")] * 2
    rows += [row("spoof", "v", "x")] * 2 + [row("spoof", "w", "x")] * 4
    calls = joined(rows, 10)
    assert [(len(parts), parts[0]["label"]) for parts in calls] == [(3, "bonafide"), (3, "spoof"), (3, "spoof")]
    voices = joined(rows, 10, voice=True)
    assert [{part["speaker"] for part in parts} for parts in voices] == [{"a"}, {"w"}]


def test_a_speaker_s_name_is_one_of_its_repository_s_and_nobody_is_joined_whom_nobody_knows() -> None:
    def row(repo: str, speaker: str) -> dict[str, str]:
        return {"label": "bonafide", "speaker": speaker, "repo": repo, "duration_s": "6"}

    assert joined([row("bank a", "1"), row("bank b", "1")], 10) == []
    assert len(joined([row("bank a", "1")] * 2, 10, voice=True)) == 1
    assert len(joined([row("bank a", "")] * 2, 10)) == 1
    assert joined([row("bank a", "")] * 2, 10, voice=True) == []
    assert joined([row("", "")] * 2, 10) == []


def test_a_manifest_is_read_whole_or_not_at_all(capsys: pytest.CaptureFixture[str], corpus: Path, tmp_path: Path) -> None:
    lines = (corpus / "manifest.csv").read_text().replace(",eval,", ",,").splitlines()
    for name in corpus.glob("*.wav"):
        (tmp_path / name.name).symlink_to(name)
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    found = evaluate(capsys, tmp_path, "--codec", "pcmu")["conditions"]["G.711 mu-law"]["all"]["whole"]
    assert (found["bonafide"], found["spoof"]) == (8, 4), "rows without a split are of any"
    for bad, message in (
        ([*lines[:3], lines[3].replace("r,", 'r,"', 1), *lines[4:]], "is a quotation mark not closed?"),
        ([*lines, lines[-1] + ",more"], f"line {len(lines) + 1}: 11 columns instead of 10"),
        ([lines[0], lines[1].replace(",no,", ",perhaps,")], "line 2: seen 'perhaps' is neither 'yes' nor 'no'"),
    ):
        (tmp_path / "manifest.csv").write_text("\n".join(bad) + "\n")
        assert cli.main(["evaluate", "--corpus", str(tmp_path), "--split", "eval"]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "manifest.csv").write_bytes("\n".join([*lines, lines[-1].replace(",en,", ",\xe9,")]).encode("latin-1"))
    assert cli.main(["evaluate", "--corpus", str(tmp_path), "--split", "eval"]) == 2
    assert "manifest.csv, after line" in (said := capsys.readouterr().err)
    assert "UTF-8" in said


def test_what_is_finished_is_told_though_a_later_part_fails(
    capsys: pytest.CaptureFixture[str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise ValueError("no copies today")

    monkeypatch.setattr("vivavoce.evaluate._copies", fails)
    page = tmp_path / "page.html"
    command = ["evaluate", "--corpus", str(corpus), "--split", "eval", "--full", "--codec", "pcmu", "--json"]
    assert cli.main([*command, "--page", str(page)]) == 2
    out = capsys.readouterr()
    assert json.loads(out.out)["conditions"]["G.711 mu-law"]["all"]["whole"]["bonafide"] == 8
    assert "no copies today" in out.err
    assert "</html>" in page.read_text()


def test_the_page_stands_alone(capsys: pytest.CaptureFixture[str], corpus: Path, tmp_path: Path) -> None:
    evaluate(capsys, corpus, "--codec", "pcmu", "--page", str(tmp_path / "report.html"))
    html = (tmp_path / "report.html").read_text()
    assert "http://" not in html
    assert "https://" not in html
    for drawing in html.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + drawing.split("</svg>")[0] + "</svg>")
    assert html.count("<polyline") == 2
    assert json.loads((tmp_path / "report.json").read_text())["split"] == "eval"


def test_the_grid_begins_with_plain_g711(
    capsys: pytest.CaptureFixture[str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [cell for cell in CELLS if cell.name in ("G.711", "packet loss", "smoothing")]
    monkeypatch.setattr("models.corruptions.grid", lambda noises: few)
    rows = evaluate(capsys, corpus, "--robustness", "--page", str(tmp_path / "grid.html"))["robustness"]
    assert (rows[0]["corruption"], rows[0]["level"]) == ("G.711", "mu")
    assert len(rows) == len(few)
    assert all(0 <= row["eer"] <= 1 and 0 <= row["false_positives"] <= 1 for row in rows)
    assert "packet loss" in (tmp_path / "grid.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--every", "0"], "--every 0 must be at least 1"),
        (["--limit", "0"], "--limit 0 must be at least 1"),
        (["--limit", "-3"], "--limit -3 must be at least 1"),
        (["--split", "x"], 'no rows of split "x"'),
        (["--page", "x.json"], "--page x.json: the figures go into a .json beside the page"),
        (["--page", "x.html", "--collapse"], "--page x.html: --collapse makes no page"),
        (["--page", "gone/x.html"], "gone/x.html"),
        (["--collapse", "--full"], "--collapse stands alone"),
    ],
)
def test_an_option_that_cannot_be_is_told_before_any_work(
    capsys: pytest.CaptureFixture[str],
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    words: str,
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the model was loaded although the report cannot be made")

    monkeypatch.setattr("vivavoce.service_model.load", never)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "--corpus", str(corpus), "--split", "eval", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_page_that_has_become_impossible_costs_no_figures(
    capsys: pytest.CaptureFixture[str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError("no space left")

    monkeypatch.setattr("vivavoce.evaluate.page", full)
    options = ["--limit", "1", "--codec", "pcmu", "--json", "--page", str(tmp_path / "x.html")]
    assert cli.main(["evaluate", "--corpus", str(corpus), "--split", "eval", *options]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["split"] == "eval"
    assert "no space left" in err


def test_a_reader_who_has_gone_costs_no_page(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    options = ["--limit", "1", "--codec", "pcmu", "--page", str(tmp_path / "x.html")]
    assert cli.main(["evaluate", "--corpus", str(corpus), "--split", "eval", *options]) == 0
    assert "G.711 mu-law" in (tmp_path / "x.html").read_text()


def strict(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("kept", "missing", "figure", "line"),
    [
        ("bonafide", "no clip of synthetic speech among 2", "caught", " of people accused, - of synthetic speech caught"),
        ("spoof", "no clip of people among 2", "false positives", ": - of people accused, "),
    ],
)
def test_a_class_that_is_missing_has_no_rate(
    capsys: pytest.CaptureFixture[str], corpus: Path, tmp_path: Path, kept: str, missing: str, figure: str, line: str
) -> None:
    with (corpus / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == kept][:2]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label"], *([corpus / row["path"], kept] for row in rows)])
    command = ["evaluate", "--corpus", str(tmp_path), "--split", "eval", "--codec", "pcmu", "--page", str(tmp_path / "r.html")]
    assert cli.main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    shipped = strict(out)["conditions"]["G.711 mu-law"]["at the shipped threshold"]["whole"]
    assert [name for name, rate in shipped.items() if rate is None] == [figure]
    assert err.count(missing) == 1
    assert err.count("no duration_s") == 1
    assert cli.main(command) == 0
    assert line in capsys.readouterr().out


def test_a_corpus_of_both_classes_with_durations_lacks_nothing(capsys: pytest.CaptureFixture[str], corpus: Path) -> None:
    assert cli.main(["evaluate", "--corpus", str(corpus), "--split", "eval", "--codec", "pcmu", "--every", "3"]) == 0
    out, err = capsys.readouterr()
    assert " - of " not in out
    assert "no clip of" not in err
    assert "duration_s" not in err


@pytest.fixture
def flawed(corpus: Path, tmp_path: Path) -> Path:
    """A person, a synthetic voice, a file that is no audio and a call of two legs."""
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    capture(tmp_path / "two.pcap", mu_law(SAMPLES[0].path)[:8000], mu_law(SAMPLES[1].path)[:8000])
    with (corpus / "manifest.csv").open(newline="") as file:
        labels = {row["label"]: corpus / row["path"] for row in csv.DictReader(file)}
    rows = [[str(path), label] for label, path in labels.items()] + [["broken.wav", "bonafide"], ["two.pcap", "bonafide"]]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "split", "label", "duration_s"], *([p, "eval", label, 3] for p, label in rows)])
    return tmp_path


def test_a_grid_of_one_class_is_refused_before_its_first_cell(capsys: pytest.CaptureFixture[str], flawed: Path) -> None:
    manifest = flawed / "manifest.csv"
    manifest.write_text("".join(line for line in manifest.read_text().splitlines(True) if ",spoof," not in line))
    assert cli.main(["evaluate", "--corpus", str(flawed), "--split", "eval", "--robustness"]) == 2
    assert "--robustness needs clips of people and synthetic ones" in capsys.readouterr().err


def test_a_clip_of_two_legs_is_named_and_left_out(capsys: pytest.CaptureFixture[str], flawed: Path) -> None:
    found = evaluate(capsys, flawed, "--codec", "pcmu")["conditions"]["G.711 mu-law"]
    assert (found["all"]["whole"]["bonafide"], found["all"]["whole"]["spoof"]) == (1, 1)
    clips = robustness.load([{"path": name, "label": "bonafide"} for name in ("two.pcap", "broken.wav")], flawed)
    assert clips == []
    err = capsys.readouterr().err
    assert f"skipped: {flawed / 'two.pcap'} holds 2 legs, and a label is for one voice" in err
    assert "broken.wav" in err


@pytest.mark.parametrize(
    ("option", "user"),
    [
        ("--copies", "vivavoce.copy_trials.prepare"),
        ("--collapse", "vivavoce.evaluation_collapse.heard_of"),
        ("--robustness", "vivavoce.robustness.load"),
    ],
)
def test_what_cannot_be_read_is_left_out_of_every_part(
    capsys: pytest.CaptureFixture[str], flawed: Path, monkeypatch: pytest.MonkeyPatch, option: str, user: str
) -> None:
    def caught(*arguments: Any) -> None:
        rows = next(a for a in arguments if isinstance(a, Sequence) and not isinstance(a, str))
        raise LookupError([Path(row["path"] if isinstance(row, dict) else row.path).name for row in rows])

    monkeypatch.setattr(user, caught)
    with pytest.raises(LookupError) as stop:
        cli.main(["evaluate", "--corpus", str(flawed), "--split", "eval", option])
    names = stop.value.args[0]
    assert names
    assert not {"broken.wav", "two.pcap"} & set(names)
    err = capsys.readouterr().err
    assert (err.count("broken.wav"), err.count("two.pcap")) == (1, 1)


def test_clips_of_several_rates_keep_pitch_and_length_through_a_codec() -> None:
    def frames() -> Any:
        for rate in (48000, 16000, 8000, 24000):
            for start in range(0, rate, rate // 50):
                yield AudioFrame(tone(rate, 440.0, 1.0)[start : start + rate // 50], rate, start), 0.0

    coded = [frame for frame, _ in through_codec(frames(), "pcmu")]
    sound = np.concatenate([frame.samples for frame in coded])
    assert len(sound) == 4 * 8000
    for second in sound.reshape(4, 8000).astype(float):
        assert abs(np.abs(np.fft.rfft(second * np.hanning(8000))).argmax() - 440) <= 1
    assert [frame.timestamp for frame in coded] == list(range(0, 4 * 8000, 160))


def speech() -> np.ndarray:
    """Two seconds that no codec has rounded."""
    return (decode_mu_law(mu_law(SAMPLES[0].path))[:16000] * 0.77).astype(np.int16)


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: f"{c.name} {c.level}")
def test_every_cell_changes_the_audio_the_same_way_each_time(cell: Any) -> None:
    samples = speech()
    changed = cell.change(samples, 3)
    assert changed.dtype == np.int16
    assert abs(len(changed) - len(samples)) < 0.45 * len(samples)
    assert np.array_equal(changed, cell.change(samples, 3))
    if (cell.name, cell.level) not in (("packet loss", "1 %"), ("packet loss", "5 %")):  # may be none of a hundred
        assert not np.array_equal(changed[: len(samples)], samples)
    assert 50 < np.abs(changed.astype(float)).mean() < 20000


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.name == "echo"], ids=lambda c: c.level)
def test_a_clip_shorter_than_its_echo_has_none(cell: Any) -> None:
    for length in (1, 400, 600, 800):
        assert np.array_equal(cell.change(speech()[:length], 3), speech()[:length])
    assert not np.array_equal(cell.change(speech()[:2000], 3), speech()[:2000])


@pytest.mark.parametrize("rate", [0.7, 1.3])
def test_stretching_keeps_the_pitch(rate: float) -> None:
    tone = (8000 * np.sin(2 * np.pi * 300 * np.arange(16000) / 8000)).astype(np.int16)
    longer = stretched(tone, 0, rate=rate)
    assert len(longer) == pytest.approx(16000 / rate, rel=0.02)
    middle = longer[1000:9000].astype(float)
    assert abs(np.abs(np.fft.rfft(middle * np.hanning(8000))).argmax() - 300) <= 3


def test_grids_without_noise_recordings_leave_those_cells_out() -> None:
    assert {cell.name for cell in CELLS} - {cell.name for cell in grid([])} == {"background noise", "noise"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path;label\na.wav;bonafide\n", "the column 'label' is missing"),
        ("\ufeffpath,label\na.wav,bona-fide\n", "line 2: label 'bona-fide' is neither"),
        ("path,label\na.wav\n", "line 2: label '' is neither"),
    ],
)
def test_a_manifest_that_says_it_otherwise_is_named_and_not_taken_for_fakes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
    assert cli.main(["evaluate", "--corpus", str(tmp_path), "--split", "eval"]) == 2
    assert words in capsys.readouterr().err
