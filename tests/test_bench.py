"""What the benches rest on: the audit from outside, the latency read off a histogram, the load generator."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.rtp import parse
from vivavoce import cli
from vivavoce.bench_audit import Audit, check, latency
from vivavoce.loadgen import LoadGenerator


def record(seq: int, kind: str = "score", call: str = "a", leg: str = "caller") -> dict[str, object]:
    return {"call_id": call, "leg": leg, "seq": seq, "kind": kind}


def test_a_whole_story_has_nothing_lost() -> None:
    assert check([record(0, "tag"), record(1), record(2, "end"), record(0, "end", leg="agent")]) == Audit(4, 0, 0, 2)


@pytest.mark.parametrize(
    ("records", "lost", "duplicated"),
    [
        ([record(0), record(2), record(3, "end")], 1, 0),
        ([record(1), record(2, "end")], 1, 0),
        ([record(0), record(1)], 1, 0),  # no end
        ([record(0), record(1), record(1), record(2, "end")], 0, 1),
    ],
)
def test_holes_and_repeats_are_counted(records: list[dict[str, object]], lost: int, duplicated: int) -> None:
    found = check(records)
    assert (found.lost, found.duplicated) == (lost, duplicated)


def test_latency_is_read_between_the_edges_of_a_bucket() -> None:
    name = "vivavoce_publish_latency_seconds_bucket"
    counts = {"0.01": 0, "0.02": 50, "0.04": 99, "0.08": 100, "+Inf": 100}
    text = "\n".join(f'{name}{{le="{edge}"}} {count}.0' for edge, count in counts.items())
    found = latency(text)
    assert (found.p50_ms, found.p99_ms) == (20.0, 40.0)
    assert latency("").p50_ms is None


def test_the_generator_is_a_telephone_for_every_target() -> None:
    peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for peer in peers:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(2)
    speech = bytes(range(160)) * 4
    result = LoadGenerator([peer.getsockname() for peer in peers], speech).run(0.3)
    assert result.sent == 3 * 15
    for peer in peers:
        packets = [parse(peer.recv(2048)) for _ in range(15)]
        first = packets[0]
        assert [(p.sequence - first.sequence) & 0xFFFF for p in packets] == list(range(15))
        assert [(p.timestamp - first.timestamp) & 0xFFFFFFFF for p in packets] == [160 * n for n in range(15)]
        assert {p.payload for p in packets} == {bytes(range(160))}
        assert {p.ssrc for p in packets} == {first.ssrc}
        peer.close()


@pytest.mark.parametrize(
    ("host", "speech", "words"), [("192.0.2.1", b"x" * 160, "loopback only, not to 192.0.2.1"), ("127.0.0.1", b"x", "1 bytes")]
)
def test_the_generator_sends_nowhere_else(host: str, speech: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LoadGenerator([(host, 9)], speech)


def bench(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "vivavoce", "bench", *arguments], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_scorer_s_bench_reports_what_programs_read() -> None:
    report = bench("scorer", "--calls", "64", "--rounds", "3", "--json")
    assert report["calls_per_core"] > 50
    assert 0 < report["sgemm_share"] < 1
    assert report["resident_calls"] == 64
    assert 0 < report["energy_vad_us_per_frame"] < 100
    assert 0.5 < report["vad_agreement"] <= 1


@pytest.mark.peer
def test_the_live_bench_loses_nothing_at_a_small_load() -> None:
    report = bench("live", "--calls", "20", "--seconds", "6", "--kill-redis", "--json")
    assert (report["tags_lost"], report["tags_duplicated"], report["refused"]) == (0, 0, 0)
    assert 0 <= report["packet_loss"] < 0.001
    assert report["packets_sent"] > 20 * 250
    for name in ("p50_ms", "p99_ms", "rss_per_call_kb", "engine_cores_used"):
        assert report[name] is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scorer", "--batch", "0"], "--batch 0"),
        (["scorer", "--model", "no.onnx"], "no.onnx"),
        (["live", "--calls", "0"], "--calls 0"),
        (["live", "--seconds", "nan"], "--seconds nan"),
        (["live", "--seconds", "inf"], "--seconds inf"),
    ],
)
def test_a_bench_that_cannot_be_run_says_why(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert cli.main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_evaluate_on_a_made_up_corpus(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from tests.connectors.test_files import write_wav
    from tests.test_screen import decode_mu_law
    from vivavoce.samples import SAMPLES, mu_law

    lines = ["path,split,label,generator,generator_family,seen,repo,speaker"]
    for sample in SAMPLES:
        samples = decode_mu_law(mu_law(sample.path)[:48000])
        write_wav(tmp_path / f"{sample.name}.wav", [samples], 8000)
        label = "spoof" if sample.synthetic else "bonafide"
        lines.append(f"{sample.name}.wav,eval,{label},{'g' * sample.synthetic},tts,no,r,s")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    assert cli.main(["evaluate", "--corpus", str(tmp_path), "--split", "eval", "--codec", "pcmu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "eer" in json.dumps(report)
    assert cli.main(["evaluate", "--corpus", str(tmp_path / "none")]) == 2
    assert "manifest.csv" in capsys.readouterr().err
    assert cli.main(["evaluate", "--corpus", str(tmp_path), "--split", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_another_form_or_chunk_is_measured_in_turns_with_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["bench", "scorer", "--calls", "4", "--batch", "4", "--rounds", "3", "--json"]
    assert cli.main([*small, "--model", "int8", "--chunk-ms", "320"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["chunk_ms"], report["model"].endswith("-int8"), report["rounds"]) == (320, True, 3)
    assert report["times_fp32_160_ms"] > 0
    assert report["fp32_160_ms_calls_per_core"] > 0
    assert cli.main(small) == 0
    assert "times_fp32_160_ms" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rounds", "10000"], "--rounds 10000 of 160 ms are more than the"),
        (["--batch", "9", "--calls", "8"], "--batch 9 must be from 1 to --calls 8"),
        (["--model", "int4"], "model file int4 does not exist"),
    ],
)
def test_a_bench_that_cannot_be_is_a_sentence(options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "scorer", *options]) == 2
    assert sentence in capsys.readouterr().err
