"""Does the recogniser tell the drawn words from others? Spoken digits of the corpus and espeak-ng's voices, by telephone.

Done: what was spoken is what was drawn. Not done: the same sound against as many other words, and plain speech of the
corpus against any. All of it passes G.711 with noise. `python -m vivavoce.measure_words CORPUS` prints one JSON object;
with a challenge behind it (`whisper`, `high-pitch` ...) what is asked for is first brought into that manner. With
`--language es` it is Spanish words, by espeak-ng's voices and, with `--digits`, by whoever recorded ten digits, as the
telephone prompts in Debian's packages are (asterisk-core-sounds-es-g722: DIR/0.g722 to 9.g722).
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports that would fail
    from models.extras import need

    need("train,examine", "scipy", "pyworld", "pocketsphinx")

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from challenges.catalogue import CATALOGUE
from challenges.content import Question, draw
from challenges.fusion import FAILED_TASK
from challenges.languages import load
from challenges.words import Heard, Recogniser
from engine.audio import Samples
from models.channel import Channel, apply
from models.corpus import Clip, read_corpus, read_speech
from models.metrics import auroc, eer
from vivavoce.callers import IN_MANNER
from vivavoce.cli import alone
from vivavoce.train_cepstra import read_noises
from vivavoce.voices import resample

KEYS = {"words": "question", "digits": "speak-loudly"}  # what is drawn -> a challenge that draws it
DIGITS = "free-spoken-digit-dataset"  # repository whose recordings' names begin with the digit that is spoken
VOICES = {
    "en": ("en-us", "en-us+f2", "en-us+m7", "en-us+Alex", "en-us+Linda", "en-gb-x-rp+f5", "en-029+m3", "en-gb-scotland+f3"),
    "es": ("es", "es+f2", "es+m7", "es+Alex", "es-419", "es-419+f5", "es-419+m3", "es-419+Linda"),
    "fr": ("fr", "fr+f2", "fr+m7", "fr+Alex", "fr-be+m3", "fr-be+Linda", "fr-ch+f5", "fr-ch+m1"),
    "de": ("de", "de+f2", "de+m7", "de+Alex", "de+f5", "de+m3", "de+Linda", "de+m1"),
}
SPEEDS = (130, 150, 175, 200)  # words per minute
PER_VOICE = 3  # answers of each kind
OTHERS = 2  # other questions that the same sound is judged by
THRESHOLD = FAILED_TASK  # below it the policy takes the task for not done
RATE = 8000


@dataclass(frozen=True)
class Spoken:
    """One answer, and what was said in it."""

    material: str  # "real digits", "espeak-ng words", "plain speech"
    kind: str  # of KEYS: what it is judged as
    language: str
    words: tuple[str, ...]  # () when none of the words that can be drawn
    samples: Samples = field(repr=False)  # int16 at 8 kHz, before the line


@dataclass(frozen=True)
class Judged:
    """One answer by one question."""

    material: str
    done: bool
    heard: Heard
    cpu: float  # seconds
    seconds: float  # of the answer


def real_digits(clips: Iterable[Clip]) -> Iterator[Spoken]:
    """People who say four to thirteen digits."""
    digits = load("en").digits
    for clip in clips:
        if clip.bonafide and clip.repo.endswith(DIGITS):
            said = tuple(digits[int(Path(name).name[0])] for name in clip.orig_path.split(";"))
            yield Spoken("real digits", "digits", "en", said, read_speech(clip.path))


def recorded_digits(folder: Path, language: str, count: int = 12) -> Iterator[Spoken]:
    """Somebody's digits, six or seven of them one after the other. ValueError names one that is not there."""
    names, rng = load(language).digits, random.Random(str(folder))
    files = {name: next(iter(sorted(folder.glob(f"{number}.*"))), None) for number, name in enumerate(names)}
    if missing := [name for name, file in files.items() if file is None]:
        raise ValueError(f"{folder} has no recording of {missing[0]}")
    one = {name: read_speech(file) for name, file in files.items() if file is not None}
    for _ in range(count):
        said = tuple(rng.choices(names, k=rng.choice((6, 7))))
        pauses = [np.zeros(rng.randrange(400, 2400), np.int16) for _ in said]
        parts = [part for name, pause in zip(said, pauses, strict=True) for part in (one[name], pause)]
        yield Spoken("recorded digits", "digits", language, said, np.concatenate(parts))


def plain_speech(clips: Iterable[Clip], count: int, language: str = "en") -> Iterator[Spoken]:
    """Speakers of a language who were asked for nothing, each recording judged as words and as digits."""
    chosen = [c for c in clips if c.bonafide and c.language == language and not c.repo.endswith(DIGITS) and c.duration_s >= 3.0]
    for clip in random.Random("plain").sample(chosen, min(count, len(chosen))):
        samples = read_speech(clip.path)
        for kind in KEYS:
            yield Spoken("plain speech", kind, language, (), samples)


def synthetic(language: str = "en", per_voice: int = PER_VOICE) -> Iterator[Spoken]:
    """espeak-ng in several voices and speeds, with and without pauses; nothing where it is not installed."""
    if shutil.which("espeak-ng") is None:
        return
    rng = random.Random("espeak")
    for voice in VOICES[language]:
        for kind in KEYS:
            for _ in range(per_voice):
                words = _question(kind, rng, language).words
                text = rng.choice((", ", " ")).join(words)
                yield Spoken(f"espeak-ng {kind}", kind, language, words, say(text, voice, rng.choice(SPEEDS)))


def say(text: str, voice: str, words_per_minute: int) -> Samples:
    """int16 at 8 kHz, by espeak-ng."""
    call = ["espeak-ng", "-b", "1", "-s", str(words_per_minute), "-v", voice, "--stdin", "--stdout"]
    done = subprocess.run(call, input=text.encode(), capture_output=True, check=True, timeout=60)
    return resample(np.frombuffer(done.stdout[44:], "<i2").astype(np.int16), 22050, RATE)


def in_manner(answers: Sequence[Spoken], key: str | None) -> list[Spoken]:
    """All said as challenge `key` asks; as they are without one. ValueError names a challenge without such a manner."""
    if key is None:
        return list(answers)
    if key not in IN_MANNER:
        raise ValueError(f"nothing is brought into the manner of {key!r}: {', '.join(sorted(IN_MANNER))}")
    rng = random.Random(key)
    return [replace(said, samples=IN_MANNER[key](said.samples, rng)) for said in answers]


def judge(answers: Iterable[Spoken], noises: Sequence[Samples], snr_db: float, recogniser: Recogniser) -> Iterator[Judged]:
    """Each answer by the question it was given to, and by OTHERS of the same kind and length."""
    rng, places = random.Random("line"), np.random.default_rng(1)
    for said in answers:
        quiet = [np.zeros(rng.randrange(1600, 4800), np.int16) for _ in range(2)]
        channel = Channel(noise=int(places.integers(len(noises))), noise_at=float(places.random()), snr_db=snr_db, law="mu")
        heard = apply(np.concatenate([quiet[0], said.samples, quiet[1]]), channel, noises, [])
        asked = [replace(_question(said.kind, rng, said.language), words=said.words)] if said.words else []
        others = [_other(said, rng) for _ in range(OTHERS)]
        for question in [*asked, *others]:
            before = time.process_time()
            found = recogniser.answer(heard, question)
            done = bool(asked) and question is asked[0]
            yield Judged(said.material, done, found, time.process_time() - before, len(heard) / RATE)


def _question(kind: str, rng: random.Random, language: str) -> Question:
    return draw(CATALOGUE[KEYS[kind]], language, rng, 0.0)


def _other(said: Spoken, rng: random.Random) -> Question:
    """A question that was not answered, with as many words."""
    question = _question(said.kind, rng, said.language)
    while said.words and len(question.words) < len(said.words):
        question = replace(question, words=question.words + _question(said.kind, rng, said.language).words)
    return replace(question, words=question.words[: len(said.words)]) if said.words else question


def measure_words(
    corpus: Path, split: str = "dev", snr_db: float = 15.0, plain: int = 60, manner: str | None = None,
    language: str = "en", digits: Sequence[Path] = (),
) -> dict[str, Any]:  # fmt: skip
    """AUROC and errors by material and together, and the cost. Noise is of the corpus's eval split: no training heard it.

    `manner`: the key of a challenge as which all of it is said. ValueError: a challenge that nothing is brought into, or
    without the extra `examine`, for nothing can be judged then.
    """
    clips, noises = read_corpus(corpus, [split]), read_noises(corpus / "noise", "eval")
    real = real_digits(clips) if language == "en" else (one for folder in digits for one in recorded_digits(folder, language))
    answers = in_manner([*real, *synthetic(language), *plain_speech(clips, plain, language)], manner)
    recogniser = Recogniser()
    judged = list(tqdm(judge(answers, noises, snr_db, recogniser), desc="words", unit="answer", file=sys.stderr))
    if any(j.heard.reason == "no-recogniser" for j in judged):
        raise ValueError("this needs the extra: pip install 'vivavoce[examine]'")
    return {
        "split": split,
        "snr_db": snr_db,
        "manner": manner or "plain",
        "language": language,
        "threshold": THRESHOLD,
        "materials": table(judged),
        "ms_per_5_s": cost(judged),
    }


def table(judged: Sequence[Judged]) -> dict[str, Any]:
    """A row for each material that was spoken as asked, with plain speech among what was not; "all" is the last."""
    by_material: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        by_material[one.material].append(one)
    plain = by_material.pop("plain speech", [])
    return {name: row(found) for name, found in [*sorted(by_material.items()), ("plain speech", plain), ("all", judged)]}


def row(judged: Sequence[Judged]) -> dict[str, Any]:
    """Counts, AUROC, EER, and both errors at THRESHOLD; rates are None where there is nothing to compare."""
    done = [j.heard.score for j in judged if j.done and j.heard.score is not None]
    other = [j.heard.score for j in judged if not j.done and j.heard.score is not None]
    return {
        "done": len(done),
        "not_done": len(other),
        "cannot_tell": sum(j.heard.score is None for j in judged),
        "share": round(float(np.mean([j.heard.share for j in judged if j.done])), 3) if done else None,
        "auroc": round(auroc(done, other), 4) if done and other else None,
        "eer": round(eer(done, other), 4) if done and other else None,
        "done_failed": round(float(np.mean(np.array(done) < THRESHOLD)), 4) if done else None,
        "not_done_passed": round(float(np.mean(np.array(other) >= THRESHOLD)), 4) if other else None,
    }


def cost(judged: Sequence[Judged]) -> float:
    """Milliseconds of one core per 5 s of answer."""
    return round(5000 * sum(j.cpu for j in judged) / max(1.0, sum(j.seconds for j in judged)), 1)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m vivavoce.measure_words", description="are drawn words told from others?")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("challenge", nargs="?", help="bring all of it into the manner of this challenge")
    parser.add_argument("--split", default="dev", help="of the corpus, for plain speech and English digits (default: dev)")
    parser.add_argument("--language", choices=list(VOICES), default="en", help="(default: en)")
    parser.add_argument("--digits", type=Path, nargs="+", default=[], metavar="DIR", help="recordings of ten digits each")
    args = parser.parse_args(argv)
    found = measure_words(args.corpus, args.split, manner=args.challenge, language=args.language, digits=args.digits)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(alone("vivavoce.measure_words", lambda: main(sys.argv[1:])))
