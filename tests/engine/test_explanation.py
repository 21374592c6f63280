"""What explains a call's score: running means by speech, and reasons that do not flicker."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.audio import AudioFrame
from engine.call import CallConfig
from engine.events import REASONS, Tag, Verdict
from engine.explanation import Explainer, Limits
from tests.engine.test_call import CONFIG, POLICY, QUIET, SPEECH, Player

NEVER = 1e12  # seconds: nothing is forgotten
FAKE, HUMAN, UNCERTAIN = Verdict.DEEPFAKE_LIKELY, Verdict.HUMAN_LIKELY, Verdict.UNCERTAIN


def test_means_are_by_speech() -> None:
    explainer = Explainer(Limits(), NEVER, 2.0)
    assert explainer.values is None
    explainer.add((1.0, 4.0, 1.0), 0.3)
    explainer.add((3.0, 0.0, 0.0), 0.1)
    assert explainer.values == {"d_real": 1.5, "d_fake": 3.0, "agrees": 0.75}


def test_what_is_long_ago_counts_less() -> None:
    explainer = Explainer(Limits(), 10.0, 2.0)
    explainer.add((1.0, 1.0, 1.0), 10.0)
    explainer.add((0.0, 0.0, 0.0), 10.0)
    assert explainer.values is not None
    assert explainer.values["d_real"] == pytest.approx(math.exp(-1) / (1 + math.exp(-1)), abs=1e-3)


@pytest.mark.parametrize("strange", [(math.nan, 1.0, 1.0), (1.0, math.inf, 1.0)])
def test_numbers_that_are_none_and_chunks_without_speech_say_nothing(strange: tuple[float, float, float]) -> None:
    explainer = Explainer(Limits(unfamiliar=1.0), NEVER, 0.0)
    explainer.add(strange, 1.0)
    explainer.add((9.0, 9.0, 0.0), 0.0)
    assert explainer.values is None
    assert explainer.reasons(FAKE) == ()


LIMITS = Limits(1.5, doubt_human=-0.5, doubt_fake=0.25)  # of the distance to fakes minus that to people


@pytest.mark.parametrize(("margin", "doubted"), [(-0.6, HUMAN), (-0.4, None), (0.2, None), (0.3, FAKE)])
def test_distances_that_speak_against_it_are_a_reason_to_doubt_a_verdict_only(margin: float, doubted: Verdict | None) -> None:
    explainer = Explainer(LIMITS, NEVER, 0.0)
    explainer.add((1.0, 1.0 + margin, 1.0), 1.0)
    for verdict in Verdict:
        assert explainer.reasons(verdict) == (("mean-disagrees",) if verdict is doubted else ())


def test_a_doubt_stays_until_it_is_clearly_over() -> None:
    explainer = Explainer(LIMITS, NEVER, 0.0)
    for margin, doubted in ((-0.6, True), (-0.34, True), (-0.38, False), (-0.6, False), (-0.7, True)):
        explainer.add((1.0, 1.0 + margin, 1.0), 1.0)  # running: -.6, -.47, -.44, -.48, -.524
        assert (explainer.reasons(HUMAN) == ("mean-disagrees",)) is doubted, margin


def test_unfamiliar_is_far_from_people_and_from_fakes() -> None:
    explainer = Explainer(Limits(unfamiliar=1.5), NEVER, 0.0)
    explainer.add((9.0, 1.4, 1.0), 1.0)
    assert explainer.reasons(UNCERTAIN) == ()
    explainer.add((9.0, 1.8, 1.0), 1.0)  # 1.6 on average
    assert explainer.reasons(UNCERTAIN) == explainer.reasons(HUMAN) == ("unfamiliar-sound",)
    explainer.add((9.0, 1.21, 1.0), 1.0)  # 1.47: below the limit, not clearly
    assert explainer.reasons(UNCERTAIN) == ("unfamiliar-sound",)
    explainer.add((9.0, 0.79, 1.0), 1.0)  # 1.3
    assert explainer.reasons(UNCERTAIN) == ()


def test_no_reason_before_enough_speech_and_none_without_a_threshold() -> None:
    explainer, far = Explainer(LIMITS, NEVER, 2.0), (3.0, 2.0, 1.0)
    explainer.add(far, 1.9)
    assert explainer.reasons(HUMAN) == ()
    explainer.add(far, 0.1)
    assert explainer.reasons(HUMAN) == ("mean-disagrees", "unfamiliar-sound")
    silent = Explainer(Limits(), NEVER, 0.0)
    silent.add(far, 9.0)
    assert silent.reasons(HUMAN) == ()


# --- in a call ------------------------------------------------------------------------------------------------------


def play(player: Player, chunks: int, score: float, explanation: tuple[float, ...], samples: np.ndarray = SPEECH) -> list[Tag]:
    """Chunks of 160 ms; the tags that they brought."""
    before = len(player.tags)
    for _ in range(chunks * 8):
        player.now += 0.02
        player.call.receive_frame(AudioFrame(samples, 8000, player.position), player.now)
        player.position += 160
        player.drain()
        while player.chunks:
            player.call.receive_score(score, player.chunks.pop(0), player.now, explanation)
            player.drain()
    return player.tags[before:]


def test_a_call_publishes_what_explains_it() -> None:
    player = Player()
    assert player.tags[0].explanation is None
    play(player, 10, -4.0, (1.25, 0.5, 1.0))
    assert player.tags[-1].explanation == {"d_real": 1.25, "d_fake": 0.5, "agrees": 1.0}
    assert player.tags[-1].reasons == ()


def test_silence_explains_nothing() -> None:
    player = Player()
    play(player, 10, -4.0, (1.25, 0.5, 1.0), QUIET)
    assert player.call.tag().explanation is None


def test_a_reason_that_comes_makes_no_record_of_its_own() -> None:
    """The same call with and without explanations has the same records but for what explains them."""
    limits = Limits(unfamiliar=1.0, doubt_fake=0.2)
    plain, doubtful = Player(), Player(CallConfig(policy=POLICY, model="m1", no_audio_s=5.0, limits=limits))
    assert CONFIG.policy == POLICY
    want = play(plain, 60, -4.0, (0.5, 0.5, 1.0))
    got = play(doubtful, 20, -4.0, (1.5, 1.8, 0.0)) + play(doubtful, 40, -4.0, (0.1, 0.1, 1.0))
    assert [(t.kind, t.seq, t.tag) for t in got] == [(t.kind, t.seq, t.tag) for t in want]
    assert any(t.reasons == ("mean-disagrees", "unfamiliar-sound") for t in got)
    assert got[-1].reasons == ()


def test_the_reasons_are_sentences() -> None:
    assert "mean-disagrees" in REASONS
    assert "unfamiliar-sound" in REASONS


def test_sound_in_which_the_model_hears_no_voice_is_no_evidence_and_no_speech() -> None:
    config = CallConfig(policy=POLICY, model="m1", no_audio_s=5.0, no_speech_s=3.0, voice=0.3)
    noise, voice = Player(config), Player(config)
    play(noise, 40, -9.0, (1.0, 1.0, 1.0, 0.29))
    assert noise.call.state is Verdict.NO_SPEECH
    assert (noise.call.net_speech_s, noise.call.evidence_s) == (0.0, 0.0)
    play(voice, 40, -9.0, (1.0, 1.0, 1.0, 0.3))
    assert voice.call.state is Verdict.DEEPFAKE_LIKELY
    assert voice.call.net_speech_s == pytest.approx(6.4, abs=0.2)


def test_a_voice_after_noise_is_heard() -> None:
    player = Player(CallConfig(policy=POLICY, model="m1", no_audio_s=5.0, no_speech_s=3.0, voice=0.3))
    play(player, 40, -9.0, (1.0, 1.0, 1.0, 0.0))
    play(player, 20, 9.0, (1.0, 1.0, 1.0, 0.9))
    assert player.call.state is Verdict.HUMAN_LIKELY


def test_a_model_that_does_not_say_whether_somebody_speaks_is_believed() -> None:
    player = Player(CallConfig(policy=POLICY, model="m1", no_audio_s=5.0, voice=0.3))
    play(player, 40, -9.0, (1.0, 1.0, 1.0))
    assert player.call.state is Verdict.DEEPFAKE_LIKELY
