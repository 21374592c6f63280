"""Instructions that callers took for another task: a loud voice can be deep, and a quick one soft."""

from __future__ import annotations

import random

import pytest

from challenges.catalogue import by_name
from challenges.content import draw


@pytest.mark.parametrize(
    ("language", "key", "says", "mistakable"),
    [
        ("en", "low-pitch", "deep voice", "low voice"),  # which is a quiet one
        ("fr", "speak-softly", "voix très basse", "doucement"),  # which is slowly as well
    ],
)
def test_an_instruction_names_the_task_and_no_other(language: str, key: str, says: str, mistakable: str) -> None:
    sentence = draw(by_name(key), language, random.Random(1), 0.0).sentence
    assert says in sentence
    assert mistakable not in sentence
