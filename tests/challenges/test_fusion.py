"""Evidence of one answer: bounded, named, and none where nothing was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenges.fusion import LIMITS, Judgement, weigh

MAYBE = st.none() | st.floats(-50, 50)


def test_nothing_measured_is_no_evidence() -> None:
    weighed = weigh(Judgement(None, None, None, None, ("cannot-tell",)))
    assert (weighed.llr, weighed.reasons) == (0.0, ("cannot-tell",))


def test_a_task_not_done_counts_against_and_is_named() -> None:
    weighed = weigh(Judgement(0.05, None, None, None))
    assert -0.5 < weighed.llr < -0.3, "a person may refuse"
    assert weighed.reasons == ("non-compliance",)


def test_a_task_done_counts_less_than_one_not_done() -> None:
    done, not_done = weigh(Judgement(1.0, None, None, None)), weigh(Judgement(0.0, None, None, None))
    assert 0 < done.llr < -not_done.llr


def test_who_refuses_once_more_is_no_new_evidence() -> None:
    told = [weigh(Judgement(0.0, None, None, None), undone=n).llr for n in range(4)]
    assert told == [pytest.approx(-0.4 * 0.5**n) for n in range(4)]
    assert sum(told) > -1.0


def test_another_task_than_was_asked_counts_more_than_none() -> None:
    other = weigh(Judgement(0.05, None, None, None, another_task=True))
    assert other.reasons == ("another-task",)
    assert other.llr < weigh(Judgement(0.0, None, None, None)).llr


def test_a_living_sound_clears_only_the_voice_that_is_known() -> None:
    known, unknown = weigh(Judgement(0.8, 3.0, -1.0, 1.0)), weigh(Judgement(0.8, 3.0, -1.0, None))
    assert known.llr > unknown.llr + 1.0
    assert weigh(Judgement(0.8, 3.0, -1.0, -0.5)).llr < unknown.llr


def test_of_sound_and_voice_the_one_that_says_less_for_the_caller_counts() -> None:
    converter_on, converter_off = weigh(Judgement(None, -3.0, None, 3.0)), weigh(Judgement(None, 3.0, None, -3.0))
    person = weigh(Judgement(None, 3.0, None, 3.0))
    assert converter_on.llr == weigh(Judgement(None, -3.0, None, None)).llr < -1.0, "a known voice excuses no sound"
    assert converter_off.llr == weigh(Judgement(None, None, None, -3.0)).llr < -1.0, "a living sound excuses no other voice"
    assert person.llr > 1.0


def test_how_the_caller_sounded_before_counts_with_an_answer_and_not_without() -> None:
    assert weigh(Judgement(0.5, None, -2.0, None)).llr == pytest.approx(-1.2)
    assert weigh(Judgement(0.5, None, -9.0, None)).llr == pytest.approx(-2.0), "and is bounded"
    assert weigh(Judgement(None, None, -2.0, None, ("cannot-tell",))).llr == 0.0


def test_the_sound_before_fails_no_answer_that_has_nothing_against_it() -> None:
    done = weigh(Judgement(0.9, 0.5, -4.0, None))
    assert done.llr <= -1.0
    assert (done.passed, done.failed) == (False, False)
    assert weigh(Judgement(0.9, -2.0, -4.0, None)).failed


@pytest.mark.parametrize(
    ("judged", "passed"),
    [
        (Judgement(0.9, None, None, None), True),
        (Judgement(0.5, 2.0, 0.0, 2.0), True),  # perhaps done: the voice from before and alive decides
        (Judgement(0.5, 2.0, 0.0, None), False),  # alive, but whose voice?
        (Judgement(0.5, 0.5, 0.0, 2.0), False),  # neither task nor sound says enough
        (Judgement(0.3, 3.0, 2.0, 3.0), False),  # not done
        (Judgement(0.9, None, None, -3.0), False),  # by another voice
        (Judgement(0.9, -3.0, 0.0, None), False),  # and sounds made
        (Judgement(None, 2.0, 0.0, 2.0), True),  # not measurable, but the voice from before and alive
        (Judgement(None, 0.1, 4.0, None), False),  # what was before recognises nobody
        (Judgement(None, 1.0, 4.0, -0.7), False),  # least of all another voice
        (Judgement(None, None, None, None), False),
    ],
)
def test_what_passes(judged: Judgement, passed: bool) -> None:
    assert weigh(judged).passed is passed


def test_an_answer_that_sounds_synthetic_is_distorted() -> None:
    weighed = weigh(Judgement(0.9, -3.0, 0.5, None))
    assert weighed.reasons == ("distortion",)
    assert weighed.llr < 0


def test_another_voice_is_named_and_the_same_voice_is_no_proof() -> None:
    assert weigh(Judgement(None, None, None, -4.0)).reasons == ("identity-drift",)
    assert 0 < weigh(Judgement(None, None, None, 9.0)).llr <= 0.5


@given(st.none() | st.floats(0, 1), MAYBE, MAYBE, MAYBE)
def test_a_weight_is_bounded(task: float | None, sound: float | None, before: float | None, same: float | None) -> None:
    llr = weigh(Judgement(task, sound, before, same)).llr
    assert LIMITS[0] <= llr <= LIMITS[1]


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_of_the_task_is_never_worse(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert weigh(Judgement(low, None, None, None)).llr <= weigh(Judgement(high, None, None, None)).llr + 1e-9


@pytest.mark.parametrize("share", [0.4, 0.5, 0.6])
def test_a_task_half_done_says_nothing(share: float) -> None:
    assert weigh(Judgement(share, None, None, None)).llr == 0.0


@pytest.mark.parametrize("task", [0.0, 0.2, 0.5, 0.9, None])
@pytest.mark.parametrize("another", [False, True])
def test_an_answer_over_the_prompt_may_be_to_another_question(task: float | None, another: bool) -> None:
    """So that it was not done, or another one was, accuses nobody; that it was done may still clear."""
    weighed = weigh(Judgement(task, 1.0, 0.0, 1.0, another_task=another), early=True)
    assert weighed.llr >= weigh(Judgement(None, 1.0, 0.0, 1.0)).llr > 0.0
    assert not weighed.failed
    assert weigh(Judgement(1.0, None, None, None), early=True).llr == weigh(Judgement(1.0, None, None, None)).llr


def test_what_sounds_made_or_of_another_voice_is_not_excused_by_beginning_over_the_prompt() -> None:
    for judged in (Judgement(None, -3.0, None, None), Judgement(None, 3.0, None, -4.0), Judgement(0.9, -3.0, None, -4.0)):
        assert weigh(judged, early=True) == weigh(judged)
        assert weigh(judged, early=True).failed
    weighed = weigh(Judgement(0.9, 0.5, -4.0, None), early=True)
    assert (weighed.llr, weighed.passed, weighed.failed) == (0.0, False, False), "nor by what was before it"
    undone = Judgement(0.02, -5.0, -5.0, -4.0)
    assert weigh(undone, early=True).llr == weigh(replace(undone, compliance=None)).llr == -2.0
    assert weigh(Judgement(0.9, 1.0, 0.0, 1.0), early=True).passed
