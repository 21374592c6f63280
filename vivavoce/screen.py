"""`vivavoce screen`: recordings and captures, with the way the tag took."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.call import CallConfig, CallInfo
from engine.config import Settings, load_settings
from engine.errors import AudioError
from engine.events import Tag, Verdict
from vivavoce import second_opinion, service_model
from vivavoce.recordings import Timed, legs_of, make_job, screen_all

HELP = "screen recordings or captures and print how the tag develops"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "A file that cannot be read is named on stderr (and as `error` in the JSON); the exit status is then 1."
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="audio file, pcap or pcapng")
    parser.add_argument("--channels", choices=("mix", "split"), default="mix", help="stereo: one leg or two (default: mix)")
    parser.add_argument("--realtime", action="store_true", help="at the pace of the call instead of as fast as possible")
    parser.add_argument("--model", type=Path, metavar="FILE", help="an .onnx file instead of the weights that ship")
    second_opinion.add_option(parser)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; may be repeated")
    parser.add_argument("--json", action="store_true", help="print a JSON array with one object per leg")


def run(args: argparse.Namespace) -> int:
    overrides = [*args.set, *([f"model.path={args.model}"] if args.model else [])]
    settings = load_settings(None, os.environ, overrides)
    model = service_model.load(settings)
    config = service_model.call_config(settings, model.info)
    again = second_opinion.Rehearing(second_opinion.load(args.second_opinion, settings.model.device))
    reports: list[dict[str, Any]] = []
    for path in args.files:
        try:
            legs = legs_of(path, args.channels, _remark)
        except AudioError as error:
            _remark(str(error))
            reports.append({"file": str(path), "error": str(error)})
            continue
        for source, leg, frames in legs:
            heard = again.keep(frames)
            live = args.realtime and not args.json
            if live:
                print(f"{path}  {leg}  ({source})", flush=True)
            timed = _paced(heard) if args.realtime else heard
            report = _screen_leg(path, source, leg, timed, settings, config, model, live=live)
            if again.opinion:
                second = again.llr(Verdict(report["tag"]))
                report["second_llr"] = None if second is None else round(second, 4)
            reports.append(report)
            if not args.json:
                print("\n".join(_verdict(report) if live else _text(report)))
    if args.json:
        print(json.dumps(reports, indent=1))
    return 1 if any("error" in report for report in reports) else 0


def _remark(sentence: str) -> None:
    print(f"vivavoce screen: {sentence}", file=sys.stderr)


def _screen_leg(
    path: Path, source: str, leg: str, frames: Timed, settings: Settings, config: CallConfig, model: Any, *, live: bool
) -> dict[str, Any]:
    """The report of one leg; `live`, every change of tag is printed as it comes."""
    tags: list[Tag] = []

    def told(tag: Tag) -> None:
        tags.append(tag)
        if live and tag.kind != "score":
            print(_moment(_point(tag)), flush=True)

    job = make_job(CallInfo(path.name, leg, source), frames, config, settings, told)
    list(screen_all([job], model))
    last = tags[-1]
    return {
        "file": str(path), "source": source, "leg": leg, "tag": last.tag.value, "text": last.text, "llr": last.llr,
        "probability": last.probability, "net_speech_s": last.net_speech_s, "audio_s": last.audio_s, "loss": last.loss,
        "model": last.model, "timeline": [_point(tag) for tag in tags],
    }  # fmt: skip


def _point(tag: Tag) -> dict[str, Any]:
    return {
        "media_time_s": tag.media_time_s, "kind": tag.kind, "tag": tag.tag.value, "llr": tag.llr,
        "probability": tag.probability, "net_speech_s": tag.net_speech_s, "loss": tag.loss, "reasons": list(tag.reasons),
    }  # fmt: skip


def _paced(frames: Timed) -> Timed:
    """The same frames, none before its time."""
    return _wait(frames, time.monotonic())


def _wait(frames: Timed, start: float) -> Iterator[Any]:
    first: float | None = None
    for frame, now in frames:
        first = now if first is None else first
        time.sleep(max(0.0, start + now - first - time.monotonic()))
        yield frame, now


def _text(report: dict[str, Any]) -> list[str]:
    head = f"{report['file']}  {report['leg']}  ({report['source']})"
    return [head, *(_moment(point) for point in report["timeline"] if point["kind"] != "score"), *_verdict(report)]


def _moment(point: dict[str, Any]) -> str:
    llr = "" if point["llr"] is None else f"LLR {point['llr']:+.2f}"
    reasons = ", ".join(point["reasons"])
    what = "end" if point["kind"] == "end" else point["tag"]
    return f"  {point['media_time_s']:7.2f} s  {what:16} {llr:12} {point['net_speech_s']:6.2f} s speech  {reasons}"


def _verdict(report: dict[str, Any]) -> list[str]:
    share = "" if report["probability"] is None else f", probability of a synthetic voice {report['probability']:.0%}"
    lines = [f"  {report['text']}{share}, {report['net_speech_s']:.1f} s of speech, loss {report['loss']:.1%}"]
    if "second_llr" in report:
        second = report["second_llr"]
        lines.append("  second opinion: " + ("none" if second is None else f"LLR {second:+.2f}"))
    return lines
