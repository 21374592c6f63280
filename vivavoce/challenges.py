"""`vivavoce challenges`: what a caller can be asked, on which line, and how the answer is judged."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterable
from typing import Any

from challenges.catalogue import CATALOGUE, LINES, Challenge, by_line, by_name, pool
from challenges.content import EXPIRES_S, LENGTHS, Question, draw
from challenges.languages import LANGUAGES, load

HELP = "list what a caller can be asked, and how the answer is judged"
COLUMNS = ("id", "challenge", "family", "draws", "seconds", "line", "verifier", "parameters", "label")
BLANKS = {  # content -> what stands in an instruction for what is drawn
    "foreign-phrase": "language",
    "accent": "accent",
    "tune": "tune",
    "emotion": "emotion",
    "rhythm": "so many times",
    "noise-count": "cough and whistle so many times",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "line: 'phone' is in the default pool of every line that has what follows it, the others are in that of wideband\n"
        "lines only; 'any' can be asked on every line. label: how well the verifier tells that the task was done; what is\n"
        "not measurable is in no pool."
    )
    add = parser.add_argument
    add("--language", metavar="CODE", help=f"the instructions in {', '.join(LANGUAGES)} (default of --show: {LANGUAGES[0]})")
    add("--line", metavar="LINE", help=f"only the default pool of a line: {', '.join(LINES)}")
    add("--show", metavar="NAME", help="draw one question of this challenge (id, key or name) as a caller would hear it")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a JSON array; with --show one object")
    form.add_argument("--markdown", action="store_true", help="print the table of challenges/README.md")


def run(args: argparse.Namespace) -> int:
    if args.language is not None:
        load(args.language)  # a wrong code is told before anything is printed
    language = args.language or LANGUAGES[0]
    if args.show is not None:
        challenge = by_name(args.show)
        if args.line is not None and challenge not in pool(by_line(args.line)):
            raise ValueError(f"challenge {challenge.key} is not in the default pool of the line {args.line}")
        question = draw(challenge, language, random.SystemRandom(), time.monotonic())
        print(json.dumps(sample(question), indent=1) if args.json else describe(question))
        return 0
    chosen = tuple(CATALOGUE.values()) if args.line is None else pool(by_line(args.line))
    if args.json:
        print(json.dumps([record(c, language) for c in chosen], indent=1))
    elif args.markdown:
        print(markdown(chosen, language))
    else:
        print(table(chosen, args.language))
    return 0


def record(challenge: Challenge, language: str) -> dict[str, Any]:
    """One challenge as `--json` prints it; times in seconds, `lines` those whose default pool holds it."""
    return {
        "id": challenge.id,
        "key": challenge.key,
        "name": challenge.name,
        "family": challenge.family,
        "tier": challenge.tier,
        "language": language,
        "instruction": load(language).instructions[challenge.key],
        "content": challenge.content,
        "min_s": challenge.min_s,
        "max_s": challenge.max_s,
        "needs": sorted(challenge.needs),
        "phone_safe": challenge.phone_safe,
        "lines": [name for name, line in LINES.items() if challenge in pool(line)],
        "alternative": challenge.alternative,
        "verifier": challenge.verifier,
        "parameters": dict(challenge.parameters),
        "measurable": challenge.measurable,
        "note": challenge.note,
    }


def sample(question: Question) -> dict[str, Any]:
    """A drawn question as `--show --json` prints it."""
    return {
        **record(question.challenge, question.language),
        "sentence": question.sentence,
        "words": list(question.words),
        "detail": question.detail,
        "cue": question.cue,
        "counts": list(question.counts),
        "nonce": question.nonce,
        "expires_in_s": EXPIRES_S,
    }


def table(challenges: Iterable[Challenge], language: str | None) -> str:
    """For people: one line per challenge, and below it the instruction if a language is named."""
    chosen = list(challenges)
    rows = [COLUMNS, *(cells(challenge) for challenge in chosen)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if language is None:
        return "\n".join(lines)
    instructions = [instruction(challenge, language) for challenge in chosen]
    return "\n".join([lines[0], *(f"{line}\n    {text}" for line, text in zip(lines[1:], instructions, strict=True))])


def markdown(challenges: Iterable[Challenge], language: str) -> str:
    """The table of challenges/README.md."""
    rows = [
        ("id", "challenge", "family", "the caller is asked", "seconds", "line", "verifier", "measurable?", "who cannot"),
        ("---",) * 9,
    ]
    for c in challenges:
        asked = f"{instruction(c, language)} *{drawn(c)}*"
        verifier = f"`{c.verifier}`" + (f": {parameters_of(c)}" if c.parameters else "")
        label = f"**{c.measurable}**: {c.note}"
        seconds = f"{c.min_s:g}-{c.max_s:g}"
        name, alternative = f"{c.name} `{c.key}`", f"`{c.alternative}`"
        rows.append((c.id, name, c.family, asked, seconds, line_of(c), verifier, label, alternative))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def instruction(challenge: Challenge, language: str) -> str:
    """The instruction with a word in brackets for what is drawn: "Please sing these words to the tune of [tune]:"."""
    return load(language).instructions[challenge.key].replace("{detail}", f"[{BLANKS.get(challenge.content, '')}]")


def drawn(challenge: Challenge) -> str:
    """How many words or digits are drawn: "5-6 words"."""
    least, most = LENGTHS[challenge.content]
    what = {"digits": "digits", "foreign-phrase": "foreign words"}.get(challenge.content, "words")
    return f"{least}-{most} {what}" if least < most else f"{least} {what}"


def cells(challenge: Challenge) -> tuple[str, ...]:
    """The row of one challenge, in the order of COLUMNS."""
    return (
        challenge.id,
        challenge.key,
        challenge.family,
        challenge.content,
        f"{challenge.min_s:g}-{challenge.max_s:g}",
        line_of(challenge),
        challenge.verifier,
        parameters_of(challenge),
        challenge.measurable,
    )


def line_of(challenge: Challenge) -> str:
    """Where it can be asked: "phone, no-dtx", "wideband, no-noise-suppression, no-dtx", "any"."""
    order = ("wideband", "no-noise-suppression", "no-dtx")
    words = ["phone"] * challenge.phone_safe + [need for need in order if need in challenge.needs]
    return ", ".join(words) or "any"


def parameters_of(challenge: Challenge) -> str:
    """The verifier's parameters in one line: "ratio 1.4, f0_hz 260"; "-" for none."""
    return ", ".join(f"{name} {value:g}" for name, value in challenge.parameters.items()) or "-"


def describe(question: Question) -> str:
    """A drawn question for people."""
    challenge = question.challenge
    facts = {
        "challenge": f"{challenge.id} {challenge.name} ({challenge.key}), family {challenge.family}, tier {challenge.tier}",
        "the caller hears": question.sentence,
        "words": " ".join(question.words),
        "drawn beside": f"{question.cue} ({question.detail})" if question.cue else "nothing",
        "answer": f"{challenge.min_s:g} to {challenge.max_s:g} s, asked within {EXPIRES_S:g} s",
        "line": line_of(challenge),
        "verifier": f"{challenge.verifier}: {parameters_of(challenge)}",
        "label": f"{challenge.measurable}: {challenge.note}",
        "alternative": challenge.alternative,
    }
    return "\n".join(f"{name:18}{text}" for name, text in facts.items())
