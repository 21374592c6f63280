"""What is drawn: at random by the passed generator, never twice for a caller, complete in every language."""

from __future__ import annotations

import ast
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import challenges.content
from challenges.catalogue import CATALOGUE, LINES, PHONE, Challenge, pool
from challenges.content import ATTEMPTS, EXPIRES_S, LENGTHS, Question, choose, clip_texts, draw
from challenges.languages import LANGUAGES

NOW = 1000.0
each_language = pytest.mark.parametrize("language", LANGUAGES)
each_challenge = pytest.mark.parametrize("challenge", CATALOGUE.values(), ids=list(CATALOGUE))
ANY_CHALLENGE = st.sampled_from(list(CATALOGUE.values()))


class Everything(frozenset[str]):
    """A collection of contents that has seen them all."""

    def __contains__(self, item: object) -> bool:
        return True


def seeded(seed: int) -> random.Random:
    return random.Random(seed)


def test_all_chance_is_the_passed_generator_s() -> None:
    path = Path(challenges.content.__file__)
    tree = ast.parse(path.read_text())
    drawn_from = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "random"}
    assert drawn_from == {"Random"}  # the annotation alone, never random.choice and its kin
    imports = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert not imports & {"secrets", "uuid", "time", "numpy"}


@each_challenge
def test_a_question_follows_from_the_generator_alone(challenge: Challenge) -> None:
    assert draw(challenge, "en", seeded(7), NOW) == draw(challenge, "en", seeded(7), NOW)
    contents = {draw(challenge, "en", seeded(seed), NOW).content for seed in range(40)}
    assert len(contents) >= 38


def test_the_operating_system_s_generator_serves() -> None:
    rng = random.SystemRandom()
    questions = [draw(CATALOGUE["whisper"], "en", rng, NOW) for _ in range(20)]
    assert len({question.nonce for question in questions}) == 20
    assert len({question.words for question in questions}) == 20
    assert all(re.fullmatch("[0-9a-f]{16}", question.nonce) for question in questions)


def test_every_word_can_come_and_none_often() -> None:
    counted: Counter[str] = Counter()
    rng = seeded(1)
    for _ in range(2000):
        counted.update(draw(CATALOGUE["whisper"], "en", rng, NOW).words)
    assert len(counted) == len(challenges.content.load("en").words)
    assert counted.most_common(1)[0][1] < 3 * counted.total() / len(counted)


def test_a_question_is_stale_a_minute_after_it_was_drawn() -> None:
    assert EXPIRES_S == 60.0
    assert draw(CATALOGUE["sing"], "fr", seeded(1), NOW).expires == 1060.0


@settings(max_examples=40, deadline=None)
@given(
    asked=st.lists(st.tuples(ANY_CHALLENGE, st.sampled_from(LANGUAGES)), min_size=2, max_size=25),
    rng=st.randoms(use_true_random=False),
)
def test_a_caller_never_hears_the_same_twice(asked: list[tuple[Challenge, str]], rng: random.Random) -> None:
    used: list[str] = []
    words: list[str] = []
    for challenge, language in asked:
        question = draw(challenge, language, rng, NOW, used=used)
        assert question.content not in used
        used.append(question.content)
        if challenge.content not in ("digits", "foreign-phrase"):  # of these there are fewer
            words += [f"{language} {word}" for word in question.words]
    assert len(set(words)) == len(words)


def test_it_goes_on_when_every_single_word_was_used() -> None:
    rng, used = seeded(3), [" ".join(challenges.content.load("de").words).lower()]
    for _ in range(30):
        used.append(draw(CATALOGUE["whisper"], "de", rng, NOW, used=used).content)
    assert len(set(used)) == 31


def test_tasks_come_round_before_one_returns() -> None:
    rng, used, cues = seeded(5), [], []
    for _ in range(8):  # there are eight emotions
        question = draw(CATALOGUE["emotions"], "en", rng, NOW, used=used)
        used.append(question.content)
        cues.append(question.cue)
    assert sorted(cues) == sorted(challenges.content.load("en").emotions)


def test_when_nothing_is_left_it_says_so_rather_than_repeat() -> None:
    with pytest.raises(ValueError, match="challenge clap: nothing is left in English"):
        draw(CATALOGUE["clap"], "en", seeded(1), NOW, used=Everything())
    assert ATTEMPTS >= 100


@given(language=st.sampled_from(LANGUAGES), challenge=ANY_CHALLENGE, rng=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_sentence_holds_all_that_was_drawn(language: str, challenge: Challenge, rng: random.Random) -> None:
    question = draw(challenge, language, rng, NOW)
    least, most = LENGTHS[challenge.content]
    assert least <= len(question.words) <= most
    assert all(a != b for a, b in zip(question.words, question.words[1:], strict=False))
    assert [question.sentence.lower().count(word) > 0 for word in question.words] == [True] * len(question.words)
    assert question.words == tuple(word.lower() for word in question.words)
    assert question.detail in question.sentence
    assert bool(question.detail) == bool(question.cue) == (challenge.content not in ("words", "digits"))
    assert not set("{}[]") & set(question.sentence)


@each_language
@each_challenge
def test_the_clips_of_a_question_are_among_the_texts_to_be_spoken(language: str, challenge: Challenge) -> None:
    texts = clip_texts(language, [challenge.key])
    for seed in range(20):
        question = draw(challenge, language, seeded(seed), NOW)
        instruction, *words = [texts[clip] for clip in question.clips]
        assert question.sentence.startswith(f"{instruction[0]} ")
        assert [text.lower() for text, _ in words] == list(question.words)
        assert {spoken for _, spoken in words} == {question.cue if challenge.key == "foreign-words" else language}


def test_only_the_texts_of_the_named_challenges() -> None:
    texts = clip_texts("es", ["speak-loudly", "low-pitch"])
    assert len(texts) == 2 + 10
    assert texts["es/digit/siete"] == ("siete", "es")
    assert set(texts) < set(clip_texts("es"))


def test_counts_are_those_that_are_said() -> None:
    for seed in range(60):
        clap = draw(CATALOGUE["clap"], "en", seeded(seed), NOW)
        if clap.cue == "2-3":
            assert clap.counts == (2, 3)
            assert clap.detail == "twice, pause, and then clap three times"
            break
    else:
        pytest.fail("two and three claps were never drawn")
    cough = draw(CATALOGUE["cough-whistle"], "de", seeded(4), NOW)
    first, a, second, b = cough.cue.split("-")
    assert {first, second} == {"cough", "whistle"}
    assert cough.counts == (int(a), int(b))
    assert (cough.detail.index("husten") < cough.detail.index("pfeifen")) == (first == "cough")
    assert draw(CATALOGUE["whisper"], "en", seeded(1), NOW).counts == ()


def test_the_contract_s_fields_are_enough_for_a_question() -> None:
    question = Question(CATALOGUE["whisper"], "en", ("river",), "", "Please whisper: river.", 5.0, "00")
    assert question.clips == ("en/instruction/whisper", "en/word/river")
    assert question.content == "en river"


@each_language
def test_another_language_is_named_with_the_choices(language: str) -> None:
    for wrong in (f"{language}-x", "it", "", "../en"):
        with pytest.raises(ValueError, match=rf"language '{wrong}' is none of en, es, fr, de"):
            draw(CATALOGUE["whisper"], wrong, seeded(1), NOW)


@pytest.mark.parametrize("line", LINES.values(), ids=list(LINES))
def test_the_order_of_challenges_cannot_be_guessed(line: object) -> None:
    offered = {challenge.key for challenge in pool(line)}  # type: ignore[arg-type]
    rng = seeded(11)
    first = Counter(choose(line, rng, asked=()).key for _ in range(100 * len(offered)))  # type: ignore[arg-type, union-attr]
    assert set(first) == offered
    assert max(first.values()) < 150
    assert min(first.values()) > 50


@given(rng=st.randoms(use_true_random=False), line=st.sampled_from(list(LINES.values())))
@settings(max_examples=60, deadline=None)
def test_each_challenge_once_and_then_none(rng: random.Random, line: object) -> None:
    asked: list[str] = []
    while (challenge := choose(line, rng, asked=asked)) is not None:  # type: ignore[arg-type]
        assert challenge.key not in asked
        asked.append(challenge.key)
    assert sorted(asked) == sorted(c.key for c in pool(line))  # type: ignore[arg-type]


@pytest.mark.parametrize("than", ["vocal", "whisper", "03"])
def test_the_second_is_of_another_family(than: str) -> None:
    rng = seeded(2)
    families = {choose(PHONE, rng, asked=["whisper"], another_family_than=than).family for _ in range(200)}  # type: ignore[union-attr]
    assert families == {"pitch", "language", "tone"}


def test_a_pool_of_one_s_own_still_keeps_to_the_line() -> None:
    rng = seeded(2)
    mine = ["clap", CATALOGUE["question"], "14"]
    assert {choose(PHONE, rng, asked=(), pool=mine).key for _ in range(100)} == {"question", "sing"}  # type: ignore[union-attr]
    assert choose(PHONE, rng, asked=["question"], pool=mine, another_family_than="tone") is None
    assert choose(PHONE, rng, asked=(), pool=()) is None


def test_unknown_names_are_told() -> None:
    with pytest.raises(ValueError, match="'yodel' is none of"):
        choose(PHONE, seeded(1), asked=(), pool=["yodel"])
    with pytest.raises(ValueError, match="'mouth' is none of"):
        choose(PHONE, seeded(1), asked=(), another_family_than="mouth")
    with pytest.raises(ValueError, match="'yodel' is none of"):
        clip_texts("en", ["yodel"])
