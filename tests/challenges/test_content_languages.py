"""The texts of every language: complete, fit to be heard and told apart, and refused when they are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources

import pytest

from challenges.catalogue import CATALOGUE
from challenges.content import clip_texts
from challenges.languages import LANGUAGES, SPELT, Language, load, parse, spellings

EN = (resources.files("challenges.languages") / "en.toml").read_text(encoding="utf-8")
VOWELS = "aeiouyáéíóúäöüàâèêëîïôùûœ"
TWO_IN_ONE = {"lion", "río", "playa", "crayon", "nuage", "théâtre", "feuer", "mauer"}  # two, side by side
PHONES = """
AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH
"""  # of cmudict
each_language = pytest.mark.parametrize("language", [load(code) for code in LANGUAGES], ids=LANGUAGES)


def syllables(word: str, code: str) -> int:
    """At least so many: groups of vowels, without the final e that English and French do not speak."""
    spoken = word.lower().replace("qu", "k")
    if code == "fr" or (code == "en" and not re.search(r"[^aeiou]le$", spoken)):
        spoken = re.sub("es?$", "", spoken)
    return 2 if word.lower() in TWO_IN_ONE else len(re.findall(f"[{VOWELS}]+", spoken))


@each_language
def test_every_challenge_has_an_instruction_and_none_has_two(language: Language) -> None:
    assert list(language.instructions) == list(CATALOGUE)
    assert len(set(language.instructions.values())) == len(CATALOGUE)


@each_language
def test_no_text_to_be_spoken_is_left_blank_or_unfilled(language: Language) -> None:
    for key, (text, _) in clip_texts(language.code).items():
        assert text.strip() == text != "", key
        assert not set("{}[]") & set(text), key


@each_language
def test_words_have_two_syllables_and_letters_only(language: Language) -> None:
    assert len(language.words) >= 200
    assert [word for word in language.words if not word.isalpha()] == []
    assert [word for word in language.words if syllables(word, language.code) < 2] == []


@each_language
def test_no_word_is_a_digit_or_another_word_by_one_letter_s_end(language: Language) -> None:
    words = {word.lower() for word in language.words}
    assert not words & set(language.digits)
    plurals = {word + end for word in words for end in ("s", "x", "es", "en")} & words
    assert not plurals


@each_language
def test_foreign_words_are_foreign_and_spelt_for_the_ear(language: Language) -> None:
    own = {word.lower() for code in LANGUAGES for word in load(code).words}
    assert set(language.foreign) == {"sw", "fi"} == set(load("en").foreign)
    for tongue in language.foreign.values():
        assert not own & set(tongue.words)
        for word, spelt in tongue.words.items():
            assert word.isascii()
            assert word == word.lower()
            assert re.fullmatch(r"[^\W\d_]+(-[^\W\d_]+)+", spelt), spelt
            assert sum(part.isupper() for part in spelt.split("-")) >= 1, spelt


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda t: t.replace('name = "English"\n', ""), "name is missing"),
        (lambda t: re.sub(r'whisper = ".*"\n', "", t), "instruction whisper is ''"),
        (lambda t: t.replace("tune of {detail}", "tune"), "instruction sing is"),
        (lambda t: t.replace("whisper these", "whisper {detail}"), "instruction whisper is"),
        (lambda t: t.replace("tune of {detail}", "tune of {detial}"), "instruction sing is"),
        (lambda t: t.replace("cough {times}", "cough {time}"), "cough is 'cough {time}'"),
        (lambda t: t.replace("{first}, then {second}", "{first}"), "noises is '{first}'"),
        (lambda t: t.replace("tune of {detail}", "tune of {detail"), "unmatched '{'"),
        (lambda t: t.replace("almond", "airport"), "words has"),
        (lambda t: re.sub(r'words = """[^"]*"""', 'words = "river table"', t), "words has 2 different"),
        (lambda t: t.replace('"nine"', '"eight"'), "digits has 9 different entries of 10"),
        (lambda t: t.replace('"twice", ', ""), "times has 3"),
        (lambda t: re.sub(r"\[tunes\]\n([a-z].*\n)+", "[tunes]\n", t), "tunes needs two entries"),
        (lambda t: t.replace('fear = "afraid"', 'fear = "very angry"'), "emotions needs two entries at least, all different"),
        (lambda t: t.replace('cough = "cough {times}"\n', ""), "cough"),
        (lambda t: t.split("[foreign.sw]")[0] + "[foreign]\n", "foreign is empty"),
        (lambda t: t.split("[foreign.sw]")[0], "foreign is missing"),
        (lambda t: t.split("[accents]")[0] + "[accents", "table declaration"),
        (lambda t: t.replace('name = "English"', 'name = "English"\nx = '), "line"),
        (lambda t: re.sub(r'words = """[^"]*"""', "words = 5", t), "split"),
    ],
)
def test_a_language_that_lacks_something_is_refused_and_says_what(spoil: Callable[[str], str], sentence: str) -> None:
    assert spoil(EN) != EN
    with pytest.raises(ValueError, match=r"^language en: ") as refusal:
        parse("en", spoil(EN))
    assert sentence in str(refusal.value)


def test_the_files_are_those_of_the_known_languages() -> None:
    files = {file.name for file in resources.files("challenges.languages").iterdir() if file.name.endswith((".toml", ".dict"))}
    assert files == {f"{code}.toml" for code in LANGUAGES} | {f"{code}.dict" for code in SPELT}


@pytest.mark.parametrize("code", SPELT)
def test_every_word_that_can_be_drawn_has_phones(code: str) -> None:
    language, known = load(code), spellings(code)
    assert known.keys() == {word.lower() for word in (*language.words, *language.digits)}
    assert {phone for ways in known.values() for way in ways for phone in way.split()} <= set(PHONES.split())
    assert spellings("en") == {}


def test_america_s_spanish_is_read_too() -> None:
    assert spellings("es")["cinco"] == ("TH IY N K OW", "S IY N K OW")
