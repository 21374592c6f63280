"""From how espeak-ng writes a word's sounds to the phones of the recogniser."""

from __future__ import annotations

import os
import shutil

import pytest

from challenges.languages import SPELT, spellings
from vivavoce.spell_phones import main, phones, spelt


@pytest.mark.parametrize(
    ("ipa", "found"),
    [
        ("θapˈato", "TH AA P AA T OW"),
        ("xaɾðˈin", "HH AA R DH IY N"),
        ("ɲˈaɲo", "N Y AA N Y OW"),
        ("fənˈɛtʁ", "F AH N EH T R"),
        ("ʃmˈɛtɜlˌɪŋ", "SH M EH T ER L IH NG"),
        ("bʁˈʏkə", "B R UH K AH"),
        ("ɡˈ??kə", "G UH R K AH"),
        ("(en)ˈɪɡluː(fr)", "IH G L UW"),
        ("rˌɛstoːrˈɑ̃", "R EH S T OW R AA N"),
    ],
)
def test_every_sound_is_the_nearest_english_one(ipa: str, found: str) -> None:
    assert phones(ipa) == found


@pytest.mark.parametrize(
    ("ipa", "found"), [("ʒaʁdˈɛ̃", "ZH AA HH D AE NG"), ("ɑ̃fˈɑ̃", "AA NG F AA NG"), ("tylˈip", "T Y UW L IY P"), ("fˈø", "F UH")]
)
def test_what_is_nearest_depends_on_the_language(ipa: str, found: str) -> None:
    assert phones(ipa, "fr") == found
    assert phones(ipa) != found


def test_a_sound_that_nobody_thought_of_is_named() -> None:
    with pytest.raises(ValueError, match="'ʘ' is near no English sound"):
        phones("aʘa")


@pytest.mark.parametrize("argv", [[], ["en"], ["es", "de"]])
def test_only_languages_that_need_it_are_spelt(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "{es,de,fr}" in capsys.readouterr().err


@pytest.mark.peer
@pytest.mark.skipif(not os.environ.get("CI") and shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("language", SPELT)
def test_the_files_can_be_made_again(language: str) -> None:
    """By this machine's espeak-ng, another version of which may say a word a little differently."""
    words = {line.partition(" ")[0].partition("(")[0] for line in spelt(language).splitlines()}
    assert words == spellings(language).keys()
