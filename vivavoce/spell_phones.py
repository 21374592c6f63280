"""The phones of a language's words for the recogniser, in the letters of cmudict, by how espeak-ng says them.

The recogniser's acoustic model is English: of another language every sound becomes the English one that is nearest to
it. `python -m vivavoce.spell_phones es` prints the file challenges/languages/es.dict (needs espeak-ng); a new word in a
language's list is one more run of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

from challenges.languages import SPELT, load

VOICES = {"es": ("es", "es-419"), "de": ("de",), "fr": ("fr",)}  # of espeak-ng: America's Spanish lisps nothing
SOUNDS: Mapping[str, str] = {  # of IPA, stress and length taken off; longest first where one begins another
    "t͡ʃ": "CH", "tʃ": "CH", "d͡ʒ": "JH", "dʒ": "JH", "ts": "T S", "pf": "P F",
    "ɛ̃": "AE N", "ɑ̃": "AA N", "ɔ̃": "OW N", "œ̃": "AH N",  # of French words in German
    "aɪ": "AY", "aʊ": "AW", "ɔø": "OY", "ɔɪ": "OY", "ɔʏ": "OY",
    "a": "AA", "ɑ": "AA", "ɐ": "AH", "e": "EY", "ɛ": "EH", "ə": "AH", "i": "IY", "ɪ": "IH", "o": "OW", "ɔ": "AO",
    "u": "UW", "ʊ": "UH", "y": "UW", "ʏ": "UH", "ø": "ER", "œ": "ER", "ɜ": "ER",
    "b": "B", "β": "B", "c": "K", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "g": "G", "ɣ": "G", "h": "HH", "x": "HH",
    "χ": "HH", "ç": "SH", "j": "Y", "ʝ": "Y", "k": "K", "l": "L", "ʎ": "Y", "m": "M", "n": "N", "ŋ": "NG", "ɲ": "N Y",
    "p": "P", "r": "R", "ɾ": "R", "ʁ": "R", "ʀ": "R", "s": "S", "ʃ": "SH", "t": "T", "θ": "TH", "v": "V", "w": "W",
    "z": "Z", "ʒ": "ZH", "??": "UH R",  # as espeak-ng 1.51 writes the German one in "Gurke"
}  # fmt: skip
OWN: Mapping[str, Mapping[str, str]] = {  # where a language's sound is nearer to another one
    "fr": {"ʁ": "HH", "ɑ̃": "AA NG", "ɛ̃": "AE NG", "ɔ̃": "OW NG", "œ̃": "AH NG", "y": "Y UW", "ə": "ER", "ø": "UH", "œ": "AH"},
}
_SOUND = re.compile("|".join(map(re.escape, SOUNDS)))
_MARKS = re.compile("\\([a-z-]+\\)|[ˈˌːˑ‿.\\-ʲ\u0329\u032f\u0361 _]")  # "(en)" where it takes a word for an English one


def phones(ipa: str, language: str = "") -> str:
    """The phones of one word of a language in IPA. ValueError: a sound that no English one is named for here."""
    bare = _MARKS.sub("", ipa)
    if left := _SOUND.sub("", bare):
        raise ValueError(f"{ipa!r}: {left!r} is near no English sound")
    sounds = {**SOUNDS, **OWN.get(language, {})}
    return " ".join(sounds[sound] for sound in _SOUND.findall(bare))


def said(words: Sequence[str], language: str) -> list[str]:
    """The IPA of each word, by espeak-ng. OSError where it is not installed."""
    text = "\n\n".join(words)
    call = ["espeak-ng", "-q", "--ipa", "-v", language, "--stdin"]
    surroundings = {**os.environ, "LC_ALL": "C.UTF-8"}  # in others it writes question marks
    done = subprocess.run(call, input=text.encode(), capture_output=True, check=True, timeout=60, env=surroundings)
    return [line.strip() for line in done.stdout.decode().splitlines() if line.strip()]


def spelt(language: str) -> str:
    """The file's text: a word's second way to say it follows as "word(2)". ValueError when espeak-ng said more or fewer
    words than it was given."""
    tongue, lines = load(language), []
    words = sorted({word.lower() for word in [*tongue.words, *tongue.digits]})
    ways = [said(words, voice) for voice in VOICES[language]]
    if wrong := [len(heard) for heard in ways if len(heard) != len(words)]:
        raise ValueError(f"espeak-ng said {wrong[0]} of {len(words)} words")
    for word, *ipas in zip(words, *ways, strict=True):
        different = dict.fromkeys(phones(ipa, language) for ipa in ipas)
        lines += [f"{word}{f'({n})' * (n > 1)} {found}\n" for n, found in enumerate(different, start=1)]
    return "".join(lines)


def main(argv: Sequence[str]) -> int:
    if len(argv) != 1 or argv[0] not in SPELT:
        print(f"usage: python -m vivavoce.spell_phones {{{','.join(SPELT)}}}", file=sys.stderr)
        return 2
    print(spelt(argv[0]), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
