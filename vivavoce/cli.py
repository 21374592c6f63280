"""The command line: one module per command, imported only when that command is asked for.

Each command module offers HELP (a sentence), configure(parser) and run(args) -> exit status. Errors a user can
mend (VivavoceError, ValueError from a parser, OSError) become one sentence on stderr and exit status 2.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from engine.errors import VivavoceError
from vivavoce import __version__

# Help texts stand here too so that `vivavoce --help` imports nothing heavy; a test keeps them equal to HELP.
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("vivavoce.serve", "run the service: RTP, WHIP, tags to Redis, and the operator's console"),
    "screen": ("vivavoce.screen", "screen recordings or captures and print how the tag develops"),
    "score": ("vivavoce.score", "score every audio file of a CSV manifest; adds the column llr"),
    "tags": ("vivavoce.tags", "follow the stream of tags in Redis"),
    "challenges": ("vivavoce.challenges", "list what a caller can be asked, and how the answer is judged"),
    "listen": ("vivavoce.listen", "screen what the microphone hears (extra: microphone)"),
    "prompts": ("vivavoce.prompts", "make and check the spoken prompts that callers are asked with"),
    "data": ("vivavoce.data", "look at a data set on disk: what is there, and what is wrong"),
    "train": ("vivavoce.train", "train the detector from a corpus (extra: train)"),
    "train-vocoder": ("vivavoce.train_vocoder", "train a vocoder whose copies the detector learns from (extra: train)"),
    "evaluate": ("vivavoce.evaluate", "measure a model on a corpus split: EER, AUROC, minDCF, Cllr"),
    "evaluate-identity": ("vivavoce.evaluate_identity", "measure the voice model: EER of one person against others"),
    "evaluate-challenges": (
        "vivavoce.evaluate_challenges",
        "play attacks against the examination: how calls end, what verifiers tell apart (extra: train)",
    ),
    "export": ("vivavoce.export", "turn a training checkpoint into the ONNX file that serves (extra: train)"),
    "explain": ("vivavoce.explain", "fit what explains scores into a model's file (extra: train)"),
    "quantize": ("vivavoce.quantize", "make the static int8 form of a model, which is faster (extra: train)"),
    "bench": ("vivavoce.bench", "measure speed: the scorer alone, or live RTP calls"),
}


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The whole command line, with the options of `command` only (the others stay unimported)."""
    parser = argparse.ArgumentParser(
        prog="vivavoce",
        description="viva voce listens to live calls and says whether a living person is speaking.",
        epilog="'vivavoce COMMAND --help' shows the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"vivavoce {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, sentence) in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=sentence,
            description=sentence[0].upper() + sentence[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == command:
            importlib.import_module(module).configure(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name that is no text must not cost the other files
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    finally:
        for stream in (sys.stdout, sys.stderr):
            _settle(stream)


def _run(arguments: list[str]) -> int:
    name = ""
    try:
        args = build_parser(next((a for a in arguments if not a.startswith("-")), None)).parse_args(arguments)
        name = f" {args.command}"
        module = importlib.import_module(COMMANDS[args.command][0])
        with _logs_apart():
            status = int(module.run(args))
        print(end="", flush=True)  # while a pipe without a reader, or a full disk, can still be told
        return status
    except BrokenPipeError:  # `vivavoce tags | head` is not a fault
        return 0
    except (VivavoceError, ValueError, OSError) as error:
        print(f"vivavoce{name}: {_sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def alone(name: str, program: Callable[[], int | None]) -> int:
    """`python -m NAME`: what its user can mend is one sentence on stderr and exit status 2, as of a command."""
    try:
        return program() or 0
    except BrokenPipeError:
        return 0
    except (VivavoceError, ValueError, OSError) as error:
        print(f"{name}: {_sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


@contextmanager
def _logs_apart() -> Iterator[None]:
    """What parts of a service log while a command uses them goes to stderr: stdout is the command's. `serve` decides itself."""
    if "structlog" not in sys.modules:  # a command that logs has imported it
        yield
        return
    import structlog

    from engine.logs import QuietLogger

    before = structlog.get_config()
    structlog.configure(logger_factory=lambda *_: QuietLogger(sys.stderr), cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _sentence(error: Exception) -> str:
    """The system's own begin with a number and end with the file."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _settle(stream: TextIO | None) -> None:
    """Write out what is left. What nobody takes is dropped: the interpreter would try again at its end, and complain."""
    if stream is None:  # as it is where the shell has closed it
        return
    try:
        stream.flush()
    except OSError:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
