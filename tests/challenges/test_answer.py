"""Where an answer begins and ends, and what of it is kept."""

from __future__ import annotations

import numpy as np
import pytest

from challenges.answer import ECHO_BLOCKS, ECHO_LIKENESS, Listener, ListenerConfig, envelope, likeness
from engine.audio import Chunk

CHUNK_S, SIZE = 0.16, 1280
RNG = np.random.default_rng(2)


def chunk(level: float, *, speech: bool = False, lost: bool = False) -> Chunk:
    samples = (RNG.standard_normal(SIZE) * level).astype(np.int16)
    return Chunk(samples, 0, CHUNK_S if speech else 0.0, CHUNK_S if lost else 0.0, 0.0)


def prompted(level: float = 20, *, speech: bool = False) -> Listener:
    """Plain speech was heard, then a prompt was played over line noise of that level."""
    listener = Listener(ListenerConfig(), CHUNK_S)
    for _ in range(30):
        listener.receive_chunk(chunk(2000, speech=True))
    listener.begin_prompt()
    listener.expect_echo(np.zeros(8000, np.int16))
    for _ in range(12):
        listener.receive_chunk(chunk(level, speech=speech))
    return listener


def listening() -> Listener:
    listener = prompted()
    listener.begin_answer()
    return listener


def test_eight_seconds_of_plain_speech_are_kept_and_no_more() -> None:
    listener = Listener(ListenerConfig(), CHUNK_S)
    for _ in range(70):
        listener.receive_chunk(chunk(2000, speech=True))
    assert len(listener.before()) == pytest.approx(8.0 * 8000, abs=SIZE)


def test_of_plain_speech_the_latest_before_the_first_question_is_kept() -> None:
    """An announcement comes first, or somebody hands the telephone on: who is asked is whoever spoke last."""
    listener = Listener(ListenerConfig(), CHUNK_S)
    for level in [20] * 50 + [2000] * 25:  # of the same length: 8 s of one, 4 s of the other
        listener.receive_chunk(chunk(level, speech=True))
    loud = np.abs(listener.before().astype(int)).reshape(-1, SIZE).max(axis=1) > 1000
    assert loud.tolist() == [False] * 25 + [True] * 25, "in order"
    for _ in range(25):
        listener.receive_chunk(chunk(2000, speech=True))
    kept = listener.before()
    listener.begin_prompt()
    for _ in range(12):
        listener.receive_chunk(chunk(20, speech=True))
    listener.begin_answer()
    listener.receive_chunk(chunk(20, speech=True))
    listener.begin_prompt()
    assert np.array_equal(listener.answer().before, kept), "what comes after a question is no plain speech"


def test_how_loud_a_caller_is_goes_by_the_latest_speech() -> None:
    """Who takes over from somebody louder, or from an announcement, is heard from the first word on."""
    listener = Listener(ListenerConfig(), CHUNK_S)
    for level in [9000] * 60 + [900] * 50:
        listener.receive_chunk(chunk(level, speech=True))
    listener.begin_prompt()
    listener.expect_echo(np.zeros(8000, np.int16))
    for _ in range(12):
        listener.receive_chunk(chunk(5))
    listener.begin_answer(soft=False)
    for _ in range(3):
        listener.receive_chunk(chunk(900, speech=True))
    assert listener.begun


def test_a_call_of_an_hour_keeps_no_more_than_one_of_a_minute() -> None:
    listener = Listener(ListenerConfig(), CHUNK_S)
    for _ in range(500):
        listener.receive_chunk(chunk(2000, speech=True))
    assert sum(small.nbytes for small in listener._before) <= 64_000


def test_lost_and_silent_chunks_are_no_plain_speech() -> None:
    listener = Listener(ListenerConfig(), CHUNK_S)
    listener.receive_chunk(chunk(2000, speech=True, lost=True))
    listener.receive_chunk(chunk(20))
    listener.begin_prompt()
    listener.begin_answer()
    assert len(listener.answer().before) == 0


def test_a_whisper_that_no_detector_calls_speech_is_an_answer() -> None:
    listener = listening()
    for _ in range(15):
        listener.receive_chunk(chunk(300))
    assert listener.begun
    assert not listener.answered((2.0, 12.0)), "it is not over before a pause"
    for _ in range(9):
        listener.receive_chunk(chunk(20))
    assert listener.answered((2.0, 12.0))
    assert listener.answer().sound_s == pytest.approx(15 * CHUNK_S)


def test_an_answer_without_a_pause_is_cut_at_the_limit() -> None:
    listener = listening()
    for _ in range(40):
        listener.receive_chunk(chunk(2000, speech=True))
    assert not listener.answered((2.0, 12.0))
    assert listener.answered((2.0, 6.0))


def test_a_cough_before_the_answer_does_not_end_it() -> None:
    listener = listening()
    for _ in range(2):
        listener.receive_chunk(chunk(3000))
    for _ in range(9):
        listener.receive_chunk(chunk(20))
    assert not listener.answered((3.0, 12.0)), "shorter than any answer"


def test_silence_is_no_answer() -> None:
    listener = listening()
    for _ in range(40):
        listener.receive_chunk(chunk(20))
    assert not listener.begun
    assert not listener.answered((1.0, 5.0))


def test_the_noise_of_a_line_that_was_muted_is_neither_an_early_answer_nor_an_answer() -> None:
    listener = Listener(ListenerConfig(), CHUNK_S)
    listener.begin_prompt()
    for level in [0] * 20 + [20] * 10:
        listener.receive_chunk(chunk(level))
    assert not listener.barged_in
    listener.begin_answer()
    for _ in range(10):
        listener.receive_chunk(chunk(20))
    assert not listener.begun


@pytest.mark.parametrize("speech", [True, False])
def test_a_room_that_grows_louder_does_not_cut_the_prompt_off(speech: bool) -> None:
    """A lorry, or people talking: it stands out from the line, and a voice activity detector may call it speech."""
    listener = prompted()
    for _ in range(12):
        listener.receive_chunk(chunk(630, speech=speech))  # 10 dB below the caller
    assert not listener.barged_in


def test_the_room_does_not_begin_an_answer_that_cannot_be_soft() -> None:
    """Who takes four seconds to begin is heard all the same, and from the first word on."""
    for soft in (False, True):
        listener = prompted()
        listener.begin_answer(soft=soft)
        for level in [500] * 10 + [20] * 10:  # 12 dB below the caller: a lorry goes by
            listener.receive_chunk(chunk(level, speech=level > 20))
        assert listener.begun == listener.answered((2.0, 12.0)) == soft
        if soft:
            continue
        for level in [1500, 1800] + [600] * 10 + [20] * 9:
            listener.receive_chunk(chunk(level, speech=level > 20))
        assert listener.answered((2.0, 12.0))
        assert listener.answer().seconds == pytest.approx((2 + 12 + 9) * CHUNK_S)


def test_who_answers_over_the_prompt_is_heard_pauses_within_words_and_all() -> None:
    listener = prompted()
    for level in (1800, 1500, 40, 1700):
        listener.receive_chunk(chunk(level, speech=level > 40))
        assert not listener.barged_in
    listener.receive_chunk(chunk(1900, speech=True))
    assert listener.barged_in
    listener.begin_answer()
    assert listener.answer().early
    short = prompted()
    for level in (1800, 1800, 1800, 40, 40, 40, 1800, 40):  # yes? ... yes
        short.receive_chunk(chunk(level, speech=True))
        assert not short.barged_in


@pytest.mark.parametrize(("level", "speech", "heard"), [(60, True, True), (60, False, False), (28, True, False)])
def test_of_somebody_never_heard_before_speech_that_stands_out_is_an_early_answer(
    level: float, speech: bool, heard: bool
) -> None:
    listener = Listener(ListenerConfig(), CHUNK_S)
    listener.begin_prompt()
    listener.expect_echo(np.zeros(8000, np.int16))
    for now in [20.0] * 12 + [level] * 6:
        listener.receive_chunk(chunk(now, speech=speech and now == level))
    assert listener.barged_in == heard


def test_an_echo_resembles_its_prompt_and_other_speech_does_not() -> None:
    swell = np.repeat(RNG.uniform(0.02, 1.0, 60), 640)
    prompt = (RNG.standard_normal(len(swell)) * 3000 * swell).astype(np.int16)
    other = (RNG.standard_normal(len(swell)) * 3000 * np.roll(swell[::-1], 3000)).astype(np.int16)
    played = envelope(prompt)
    assert likeness(envelope(prompt // 8)[10 : 10 + ECHO_BLOCKS], played) > 0.9
    assert likeness(envelope(other)[10 : 10 + ECHO_BLOCKS], played) < ECHO_LIKENESS
    assert likeness(envelope(prompt)[:5], played) == 0.0


@pytest.mark.parametrize("end", ["answer", "rest"])
def test_a_listener_that_is_done_keeps_no_more_sound(end: str) -> None:
    listener = Listener(ListenerConfig(), 0.16)
    for index in range(10):
        listener.receive_chunk(Chunk(np.full(1280, 900, np.int16), index, 0.16, 0.0, 0.0))
    listener.begin_prompt()
    listener.begin_answer()
    for _ in range(2):
        for index in range(50):
            listener.receive_chunk(Chunk(np.full(1280, 900, np.int16), index, 0.16, 0.0, 0.0))
        getattr(listener, end)()
    assert listener._held == []
    assert listener.answer().before.any(), "what was said before any question is still there"


def test_noise_that_a_voice_detector_calls_speech_does_not_keep_an_answer_open() -> None:
    listener = prompted(360, speech=True)  # a crowd, 15 dB below the caller
    assert not listener.barged_in
    listener.begin_answer()
    for _ in range(15):
        listener.receive_chunk(chunk(2000, speech=True))
    for _ in range(9):
        listener.receive_chunk(chunk(360, speech=True))
    assert listener.answered((2.0, 12.0))
    assert listener.answer().sound_s == pytest.approx(15 * CHUNK_S)


@pytest.mark.parametrize(("pause", "patient", "over"), [(9, False, True), (9, True, False), (14, True, True)])
def test_who_is_to_speak_slowly_may_pause_for_longer(pause: int, patient: bool, over: bool) -> None:
    listener = listening()
    for _ in range(15):
        listener.receive_chunk(chunk(2000, speech=True))
    for _ in range(pause):
        listener.receive_chunk(chunk(20))
    assert listener.answered((2.0, 15.0), patient=patient) is over


@pytest.mark.parametrize(("rest", "early"), [(0, False), (3, False), (4, True)])
def test_the_sentence_that_the_prompt_broke_into_is_no_answer(rest: int, early: bool) -> None:
    """Nor does a breath in it make it one: early answers come after a pause."""
    listener = Listener(ListenerConfig(), CHUNK_S)
    for _ in range(30):
        listener.receive_chunk(chunk(2000, speech=True))
    listener.begin_prompt()
    listener.expect_echo(np.zeros(48_000, np.int16))
    for level in [2000.0] * 8 + [20.0] * rest + [2000.0] * 8:
        listener.receive_chunk(chunk(level, speech=level > 1000))
    assert listener.barged_in is early
    listener.begin_answer()
    assert listener.begun is early


def test_who_talks_through_a_prompt_and_on_may_be_answering_something_else() -> None:
    """The question before, say: it can clear, but not accuse."""
    listener = Listener(ListenerConfig(), CHUNK_S)
    for _ in range(30):
        listener.receive_chunk(chunk(2000, speech=True))
    listener.begin_prompt()
    listener.expect_echo(np.zeros(16_000, np.int16))
    for _ in range(12):
        listener.receive_chunk(chunk(2000, speech=True))
    listener.begin_answer()
    for level in [2000.0] * 12 + [20.0] * 10:
        listener.receive_chunk(chunk(level, speech=level > 1000))
    assert listener.answered((1.0, 12.0))
    assert listener.answer().early
    listener.begin_prompt()
    listener.begin_answer()
    assert not listener.answer().early


@pytest.mark.parametrize(("before", "kept"), [(6, 6), (25, 0)])
def test_by_a_key_an_answer_begins_shortly_before_it(before: int, kept: int) -> None:
    """An operator presses when the caller has begun. What has gone on for longer was said to the operator."""
    listener = Listener(ListenerConfig(), CHUNK_S)
    for _ in range(30):
        listener.receive_chunk(chunk(2000, speech=True))
    listener.begin_prompt()
    for level in [20.0] * 10 + [2000.0] * before:
        listener.receive_chunk(chunk(level, speech=level > 1000))
    listener.begin_answer(key=True)
    assert listener.begun is (kept > 0)
    listener.receive_chunk(chunk(2000, speech=True))
    answer = listener.answer()
    assert answer.sound_s == pytest.approx((kept + 1) * CHUNK_S)
    assert not answer.early, "the key says that it is the answer"


def test_speech_without_a_pause_is_no_noise() -> None:
    """Where an operator's key opens the answer, nothing of the line's own noise may have been heard."""
    listener = Listener(ListenerConfig(), CHUNK_S)
    for _ in range(30):
        listener.receive_chunk(chunk(2000, speech=True))
    listener.begin_prompt()
    listener.begin_answer()
    for _ in range(20):
        listener.receive_chunk(chunk(2000, speech=True))
    assert listener.begun
    assert listener.answer().sound_s == pytest.approx(20 * CHUNK_S)
