"""From scores to verdicts: evidence, thresholds, hysteresis, probability."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.audio import Chunk
from engine.events import Verdict
from engine.policy import Calibration, Policy, PolicyConfig, RunningScore, counts, synthetic_probability
from models.calibrate import running_level

CONFIG = PolicyConfig(Calibration(1.0, 0.0, 0.0, 1.0), deepfake_llr=-2.0, human_llr=2.0, margin=0.5, min_speech_s=1.0)


def chunk(speech_s: float, lost_s: float = 0.0) -> Chunk:
    return Chunk(np.zeros(1280, np.int16), 0, speech_s, lost_s, 0.0)


def run(scores: list[float], config: PolicyConfig = CONFIG) -> list[Verdict]:
    policy = Policy(config)
    return [policy.add(score, 0.16) for score in scores]


def test_no_verdict_before_enough_speech() -> None:
    verdicts = run([-9.0] * 12)
    assert verdicts[:6] == [Verdict.LISTENING] * 6  # 0.96 s
    assert verdicts[-1] is Verdict.DEEPFAKE_LIKELY


def test_a_verdict_takes_two_agreeing_chunks() -> None:
    verdicts = run([-9.0] * 8)
    assert verdicts[6:] == [Verdict.UNCERTAIN, Verdict.DEEPFAKE_LIKELY]


@pytest.mark.parametrize(("score", "verdict"), [(-2.0, Verdict.DEEPFAKE_LIKELY), (-1.9, Verdict.UNCERTAIN),
                                                (1.9, Verdict.UNCERTAIN), (2.0, Verdict.HUMAN_LIKELY)])  # fmt: skip
def test_thresholds_are_inclusive(score: float, verdict: Verdict) -> None:
    assert run([score] * 10)[-1] is verdict


def test_a_verdict_stands_until_the_margin_is_crossed() -> None:
    policy = Policy(CONFIG)
    for _ in range(20):
        policy.add(-2.2, 0.16)
    assert policy.verdict is Verdict.DEEPFAKE_LIKELY
    while policy.llr is not None and policy.llr <= -1.5:
        assert policy.verdict is Verdict.DEEPFAKE_LIKELY
        policy.add(0.0, 0.16)
    assert policy.verdict is Verdict.UNCERTAIN


def test_a_converter_switched_on_later_shows() -> None:
    verdicts = run([3.0] * 100 + [-9.0] * 120)
    assert verdicts[99] is Verdict.HUMAN_LIKELY
    assert verdicts[-1] is Verdict.DEEPFAKE_LIKELY


def test_one_not_finite_score_changes_nothing() -> None:
    policy = Policy(CONFIG)
    for _ in range(10):
        policy.add(3.0, 0.16)
    assert policy.verdict is Verdict.HUMAN_LIKELY
    policy.add(math.nan, 0.16)
    assert policy.verdict is Verdict.HUMAN_LIKELY


def test_the_running_score_is_weighted_by_speech() -> None:
    running = RunningScore(1e9)
    running.add(1.0, 0.16)
    running.add(4.0, 0.08)
    assert running.mean == pytest.approx(2.0)
    assert running.speech_s == pytest.approx(0.24)


def test_old_scores_fade_with_speech_not_with_time() -> None:
    running = RunningScore(1.0)
    running.add(10.0, 0.1)
    running.add(0.0, 1.0)
    kept = 0.1 * math.exp(-1.0)
    assert running.mean == pytest.approx(10.0 * kept / (kept + 1.0))


def test_an_empty_running_score_has_no_mean() -> None:
    assert RunningScore(20).mean is None
    assert RunningScore(20).level(1.0) is None


def test_scores_that_scatter_lie_lower_than_those_that_agree() -> None:
    agreed, scattered = RunningScore(1e9), RunningScore(1e9)
    for n in range(10):
        agreed.add(1.0, 0.16)
        scattered.add(1.0 + (-1) ** n, 0.16)
    assert agreed.level(1.0) == pytest.approx(1.0)
    assert scattered.level(1.0) == pytest.approx(0.0, abs=1e-6)
    assert scattered.mean == pytest.approx(1.0)


def test_what_is_heard_first_counts_less() -> None:
    running = RunningScore(1e9, warm_s=2.0)
    running.add(5.0, 0.5)  # a quarter of two seconds
    running.add(1.0, 1.5)
    assert running.mean == pytest.approx((5.0 * 0.5 * 0.25 + 1.0 * 1.5) / (0.5 * 0.25 + 1.5))


def test_a_call_is_levelled_as_its_calibration_was() -> None:
    rng = np.random.default_rng(3)
    scores, speech = rng.normal(size=200).astype(np.float32), np.where(rng.random(200) < 0.7, 0.16, 0.0)
    running = RunningScore(20.0, warm_s=2.0)
    for score, seconds in zip(scores.tolist(), speech.tolist(), strict=True):
        running.add(score, seconds)
    assert running.level(1.5) == pytest.approx(running_level(scores, speech, 1.5, 2.0), abs=1e-6)


@pytest.mark.parametrize(
    ("speech_s", "lost_s", "want"),
    [(0.16, 0.0, True), (0.04, 0.0, False), (0.06, 0.0, True), (0.16, 0.08, True), (0.1, 0.1, False), (0.0, 0.0, False)],
)
def test_only_heard_speech_is_evidence(speech_s: float, lost_s: float, want: bool) -> None:
    assert counts(chunk(speech_s, lost_s), 0.16) is want


def test_probability_is_bayes() -> None:
    assert synthetic_probability(0.0, 0.5) == pytest.approx(0.5)
    assert synthetic_probability(0.0, 0.001) == pytest.approx(0.001)
    assert synthetic_probability(-math.log(99), 0.5) == pytest.approx(0.99)
    assert synthetic_probability(800.0, 0.5) == pytest.approx(0.0)
    assert synthetic_probability(-800.0, 0.5) == pytest.approx(1.0)


def spoken(policy: Policy, score: float, seconds: float = 4.0) -> None:
    for _ in range(round(seconds / 0.16)):
        policy.add(score, 0.16)


def test_an_examined_answer_adds_its_evidence_and_needs_no_second_chunk() -> None:
    policy = Policy(PolicyConfig(deepfake_llr=-2.0, human_llr=1.0))
    spoken(policy, -1.0)
    assert policy.verdict is Verdict.UNCERTAIN
    assert policy.examine(-1.5) is Verdict.DEEPFAKE_LIKELY
    assert policy.llr == pytest.approx(-2.5)
    spoken(policy, -1.0)
    assert policy.llr == pytest.approx(-2.5), "what was examined stays in the evidence"


def test_one_failed_answer_does_not_accuse_a_voice_that_sounds_human() -> None:
    policy = Policy(PolicyConfig(deepfake_llr=-2.0, human_llr=1.0))
    spoken(policy, 1.5)
    assert policy.examine(-1.6) is Verdict.UNCERTAIN


def test_an_operator_s_word_stands_whatever_is_heard_later() -> None:
    policy = Policy(PolicyConfig(deepfake_llr=-2.0, human_llr=1.0))
    policy.set_by_hand(Verdict.HUMAN_LIKELY)
    spoken(policy, -9.0)
    assert policy.verdict is Verdict.HUMAN_LIKELY
    assert policy.examine(-5.0) is Verdict.HUMAN_LIKELY
    assert policy.llr is not None
    assert policy.llr < -9.0, "the number keeps telling what the engine hears"


def test_an_answer_that_says_nothing_moves_nothing() -> None:
    policy = Policy(PolicyConfig(deepfake_llr=-2.0, human_llr=1.0, min_speech_s=2.0))
    policy.add(-5.0, 0.3)
    assert policy.examine(0.0) is Verdict.LISTENING, "a third of a second of speech accuses nobody"
    policy = Policy(PolicyConfig(deepfake_llr=-2.0, human_llr=1.0))
    spoken(policy, 0.0)
    policy.add(-400.0, 0.16)
    assert policy.verdict is Verdict.UNCERTAIN, "one chunk does not accuse"
    assert policy.examine(0.0) is Verdict.UNCERTAIN


def test_an_answer_is_no_verdict_before_there_is_speech_for_one() -> None:
    policy = Policy(PolicyConfig(deepfake_llr=-2.0, human_llr=1.0, min_speech_s=2.0))
    assert policy.examine(2.0) is Verdict.LISTENING
    spoken(policy, 0.0)
    assert policy.llr == pytest.approx(2.0)
    assert policy.verdict is Verdict.HUMAN_LIKELY, "the evidence waited for it"


def test_two_answers_that_were_voices_are_speech_enough_in_any_noise() -> None:
    policy = Policy(PolicyConfig(deepfake_llr=-2.0, human_llr=1.0))
    policy.pass_over(60.0)
    spoken(policy, -0.1, 3.0)
    assert policy.examine(-1.9, sounded=True) is Verdict.LISTENING, "3 s that seem a voice in a minute of noise, and one answer"
    assert policy.examine(-0.5) is Verdict.LISTENING, "that answer was no voice"
    assert policy.examine(-0.5, passed=False, sounded=True) is Verdict.DEEPFAKE_LIKELY
    policy.begin_anew()
    assert policy.examine(-9.0, sounded=True) is Verdict.LISTENING, "somebody else answered before"


def test_once_an_answer_counts_more_is_needed_than_of_sound_alone() -> None:
    """Answers of one caller err alike: their sum says less than as many of different callers would."""
    policy = Policy(PolicyConfig(min_speech_s=0.5, deepfake_llr=-2.0, examined_share=1.25))
    for _ in range(20):
        policy.add(-1.0, 0.16)
    assert policy.examine(-1.2) is Verdict.UNCERTAIN, "-2.2 would do for a voice that was asked nothing"
    assert policy.examine(0.0, passed=False) is Verdict.UNCERTAIN, "silence is no evidence"
    assert policy.examine(-0.3) is Verdict.DEEPFAKE_LIKELY


def test_silence_does_not_raise_what_is_needed() -> None:
    policy = Policy(PolicyConfig(min_speech_s=0.5, deepfake_llr=-2.0, examined_share=1.25))
    for _ in range(20):
        policy.add(-2.2, 0.16)
    assert policy.examine(0.0, passed=False) is Verdict.DEEPFAKE_LIKELY


def test_sound_without_a_voice_is_no_speech_for_a_verdict() -> None:
    policy = Policy(PolicyConfig(min_speech_s=0.5, deepfake_llr=-2.0))
    policy.pass_over(10.0)
    for _ in range(10):
        policy.add(-9.0, 0.16)
    assert policy.verdict is Verdict.LISTENING, "1.6 s that seem a voice in 11.6 s of sound are noise too"
    for _ in range(13):
        policy.add(-9.0, 0.16)
    assert policy.verdict is Verdict.DEEPFAKE_LIKELY


def test_a_minute_of_music_keeps_no_verdict_as_it_stood() -> None:
    policy = Policy(PolicyConfig(min_speech_s=2.0, deepfake_llr=-2.0, human_llr=1.0))
    for _ in range(60):
        policy.add(3.0, 0.16)
    assert policy.verdict is Verdict.HUMAN_LIKELY
    for _ in range(1000):
        policy.pass_over(0.16)
    for _ in range(40):
        policy.add(-9.0, 0.16)
    assert policy.enough
    assert policy.verdict is not Verdict.HUMAN_LIKELY
    for _ in range(60):
        policy.add(-9.0, 0.16)
    assert policy.verdict is Verdict.DEEPFAKE_LIKELY


def test_who_was_asked_and_did_not_pass_is_not_cleared_by_sound() -> None:
    policy = Policy(PolicyConfig(min_speech_s=0.5, human_llr=1.0))
    for _ in range(20):
        policy.add(3.0, 0.16)
    assert policy.verdict is Verdict.HUMAN_LIKELY
    assert policy.examine(0.0, passed=False) is Verdict.UNCERTAIN
    assert policy.add(3.0, 0.16) is Verdict.UNCERTAIN
    policy.examine(0.1, passed=True)
    policy.add(3.0, 0.16)
    assert policy.add(3.0, 0.16) is Verdict.HUMAN_LIKELY
