"""`vivavoce prompts build` and `vivavoce prompts check`: the spoken clips of which questions to a caller are made."""

from __future__ import annotations

import argparse
import difflib
import hashlib
import io
import json
import sys
import tempfile
import wave
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from challenges.clips import LEVEL_DBFS, RATES, PromptError, sound_fault
from challenges.content import clip_texts
from challenges.languages import LANGUAGES
from challenges.prompts import MANIFEST, SCHEMA, PromptPack, find_faults, read_manifest
from engine.audio import Samples
from vivavoce.voices import Espeak, Piper, Recordings, Voice, make_clip

HELP = "make and check the spoken prompts that callers are asked with"
SHOWN = 20  # lines of a list of faults; the rest is counted
Progress = Callable[[Iterable[str]], Iterable[str]]


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    build_ = commands.add_parser(
        "build",
        help="speak all texts into a folder",
        description="Speak every instruction, word and detail into a folder, at 8 and 16 kHz and -20 dBFS, with a manifest.",
        epilog="A recording replaces the clip of the same name: FOLDER/en/word/river.wav.\n"
        "A pack that is there is replaced; a service that runs with it must be started again.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = build_.add_argument
    add("out", type=Path, metavar="OUT", help="the folder to make")
    add("--language", action="append", choices=LANGUAGES, help="may be repeated (default: all)")
    add(
        "--voice", action="append", default=[], metavar="VOICE",
        help="espeak-ng (default), or piper:MODEL.onnx for the model's language; may be repeated",
    )  # fmt: skip
    add("--from", dest="recordings", type=Path, metavar="FOLDER", help="recordings of people, in place of the voice")
    check_ = commands.add_parser(
        "check",
        help="look at every clip of a folder",
        description="Look at every clip of a prompt pack, and name what is wrong or missing.",
        epilog="The exit status is 1 when something is wrong or missing, 2 when the folder is no prompt pack.",
    )
    add = check_.add_argument
    add("folder", type=Path, metavar="FOLDER", help="a folder made by `vivavoce prompts build`")
    add("--language", action="append", choices=LANGUAGES, help="must be there, may be repeated (default: those that are)")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    if args.what == "check":
        report = inspect(args.folder, args.language)
        print(json.dumps(report, indent=1, ensure_ascii=False) if args.json else table(report))
        return 1 if report["faults"] or report["missing"] else 0
    recordings = Recordings(args.recordings) if args.recordings else None
    pack = build(args.out, args.language or LANGUAGES, parse_voices(args.voice), recordings, progress=_bar)
    voices = ", ".join(pack.manifest.voice.split("; "))
    print(f"{args.out}: {len(pack.manifest.clips):,} clips in {', '.join(pack.manifest.languages)}, spoken by {voices}")
    return 0


def _bar(names: Iterable[str]) -> Iterable[str]:
    bar: Iterable[str] = tqdm(names, unit="clip", desc="prompts", file=sys.stderr)
    return bar


def parse_voices(names: Sequence[str]) -> list[Voice]:
    """The voices of --voice in order; espeak-ng speaks what the others do not. ValueError names an unknown one."""
    voices: list[Voice] = []
    for name in names:
        kind, _, model = name.partition(":")
        if kind == "piper" and model:
            voices.append(Piper(Path(model)))
        elif name != "espeak-ng":
            raise ValueError(f"--voice {name}: it is espeak-ng, or piper:MODEL.onnx")
    return [*voices, Espeak()]


def build(
    out: Path,
    languages: Sequence[str],
    voices: Sequence[Voice],
    recordings: Recordings | None = None,
    progress: Progress = iter,
) -> PromptPack:
    """Make the pack `out`; the first voice that knows a text's language speaks it, unless there is a recording.

    The pack is made and checked beside `out` and takes its place at the end: a failure leaves what was there.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file())):
        raise PromptError(f"{out} is there already and is no prompt pack; it is left alone")
    texts = {name: text for language in languages for name, text in clip_texts(language).items()}
    if recordings:
        _refuse_strangers(recordings)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as made:
        folder = Path(made) / "new"
        folder.mkdir()
        clips = {}
        for name in progress(sorted(texts)):
            clips[name] = _make(folder, name, texts[name], voices, recordings)
        _write_manifest(folder, clips)
        PromptPack.load(folder)
        _put_in_place(folder, out, Path(made) / "old")
    return PromptPack(out, read_manifest(out))


def _put_in_place(new: Path, out: Path, old: Path) -> None:
    """Rename `new` to `out`; what was there goes to `old`, and comes back if that fails."""
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except BaseException:
        if old.exists():
            old.rename(out)
        raise


def _refuse_strangers(recordings: Recordings) -> None:
    """A recording under a mistyped name would be left out without a word."""
    known = {name for language in LANGUAGES for name in clip_texts(language)}
    for name, path in recordings.files.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise PromptError(f"{path} is the recording of no clip" + (f"; did you mean {near[0]}?" if near else ""))


def _make(
    folder: Path, name: str, text: tuple[str, str], voices: Sequence[Voice], recordings: Recordings | None
) -> dict[str, Any]:
    """Speak one text, given with its language, into its files -> its entry in the manifest."""
    said, language = text
    if recordings and name in recordings.files:
        source, (samples, rate) = "recording", recordings.read(name)
    else:
        voice = next((voice for voice in voices if voice.speaks(language)), None)
        if voice is None:
            raise PromptError(f"clip {name}: no voice speaks the language {language}")
        source, (samples, rate) = voice.name, voice.say(said, language)
    try:
        files = make_clip(samples, rate)
    except PromptError as error:
        raise PromptError(f"clip {name}, spoken by {source}, {error}") from None
    entry: dict[str, Any] = {"text": said, "voice": source, "files": {}}
    for rate in RATES:
        if fault := sound_fault(files[rate], rate):
            raise PromptError(f"clip {name}, spoken by {source}, {fault}")
        entry["files"][str(rate)] = _write_clip(folder, f"{rate}/{name}.wav", files[rate], rate)
    return entry


def _write_clip(folder: Path, file: str, samples: Samples, rate: int) -> dict[str, str]:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as wav:
        wav.setparams((1, 2, rate, 0, "NONE", ""))
        wav.writeframes(samples.astype("<i2").tobytes())
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return {"file": file, "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}


def _write_manifest(folder: Path, clips: Mapping[str, dict[str, Any]]) -> None:
    voice = "; ".join(sorted({clip["voice"] for clip in clips.values()}))
    manifest = {"schema": SCHEMA, "voice": voice, "rates": list(RATES), "level_dbfs": LEVEL_DBFS, "clips": clips}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def inspect(folder: Path, languages: Sequence[str] | None = None) -> dict[str, Any]:
    """What `prompts check --json` prints. PackError when the folder holds no readable manifest."""
    manifest = read_manifest(folder)
    pack = PromptPack(folder, manifest)
    counts = dict.fromkeys(manifest.languages, 0)
    for name in manifest.clips:
        counts[name.split("/")[0]] += 1
    asked = languages or [language for language in manifest.languages if language in LANGUAGES]
    return {
        "folder": str(folder),
        "voice": manifest.voice,
        "rates": list(manifest.rates),
        "level_dbfs": LEVEL_DBFS,
        "clips": counts,
        "missing": pack.check(asked),
        "faults": find_faults(folder, manifest),
    }


def table(report: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [f"{report['folder']}: spoken by {report['voice']}"]
    lines += [f"  {language}  {count:,} clips" for language, count in report["clips"].items()]
    for what in ("missing", "faults"):
        found = report[what]
        if found:
            lines += [f"{what}: {len(found):,}", *(f"  {sentence}" for sentence in found[:SHOWN])]
        if len(found) > SHOWN:
            lines.append(f"  and {len(found) - SHOWN:,} more")
    return "\n".join(lines if report["missing"] or report["faults"] else [*lines, "nothing wrong or missing"])
