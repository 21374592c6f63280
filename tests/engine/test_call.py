"""The call as a state machine: every transition of the table, and that nothing but heard speech clears anybody."""

from __future__ import annotations

import numpy as np
import pytest

from engine.audio import AudioFrame, Chunk
from engine.call import TRANSITIONS, Call, CallConfig, CallInfo, Signal, table
from engine.events import REASONS, CallEnded, ChunkReady, ScoreUpdated, Tag, TagChanged, Verdict
from engine.policy import Calibration, PolicyConfig

POLICY = PolicyConfig(Calibration(1.0, 0.0, 0.0, 1.0), deepfake_llr=-2.0, human_llr=2.0, min_speech_s=1.0)
CONFIG = CallConfig(policy=POLICY, model="m1", no_audio_s=5.0, no_speech_s=2.0, score_interval_s=1.0)
SPEECH, QUIET = np.full(160, 1000, np.int16), np.zeros(160, np.int16)


def loud(pcm: bytes, rate: int) -> bool:
    """A voice activity detector for tests: anything but zeros is speech."""
    assert rate == 8000
    assert len(pcm) in (160, 320)
    return any(pcm)


class Player:
    """Feeds a call with made-up time and scores."""

    def __init__(self, config: CallConfig = CONFIG, info: CallInfo | None = None) -> None:
        self.now = 100.0
        self.call = Call(info or CallInfo("c1"), config, loud, self.now)
        self.tags: list[Tag] = []
        self.chunks: list[Chunk] = []
        self.position = 0
        self.drain()

    def drain(self) -> None:
        for event in self.call.events():
            if isinstance(event, ChunkReady):
                self.chunks.append(event.chunk)
            else:
                self.tags.append(event.tag)

    def frames(self, count: int, samples: np.ndarray = SPEECH, *, lost: bool = False, score: float | None = None) -> None:
        for _ in range(count):
            self.now += 0.02
            self.call.receive_frame(AudioFrame(QUIET if lost else samples, 8000, self.position, lost), self.now)
            self.position += 160
            self.drain()
            while self.chunks and score is not None:
                self.call.receive_score(score, self.chunks.pop(0), self.now)
                self.drain()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.call.handle_timer(self.now)
        self.drain()

    @property
    def verdicts(self) -> list[Verdict]:
        return [tag.tag for tag in self.tags if tag.kind == "tag"]


def test_a_call_begins_listening_and_says_so() -> None:
    player = Player()
    (tag,) = player.tags
    assert (tag.kind, tag.seq, tag.tag, tag.text) == ("tag", 0, Verdict.LISTENING, "Listening")
    assert tag.reasons == ("too-little-speech",)
    assert tag.llr is tag.probability is None


def test_synthetic_speech_is_tagged_once_and_with_numbers() -> None:
    player = Player()
    player.frames(150, score=-4.0)
    assert player.verdicts == [Verdict.LISTENING, Verdict.UNCERTAIN, Verdict.DEEPFAKE_LIKELY]
    tag = next(t for t in player.tags if t.tag is Verdict.DEEPFAKE_LIKELY)
    assert tag.text == "Deepfake-likely"
    assert tag.llr == -4.0
    assert tag.probability == pytest.approx(0.982, abs=1e-3)
    assert 1.0 <= tag.net_speech_s <= 1.5


def test_a_person_is_tagged_human() -> None:
    player = Player()
    player.frames(150, score=4.0)
    assert player.call.state is Verdict.HUMAN_LIKELY


def test_records_are_numbered_without_holes() -> None:
    player = Player()
    player.frames(300, score=-4.0)
    player.call.close("closed", player.now)
    player.drain()
    assert [t.seq for t in player.tags] == list(range(len(player.tags)))


def test_score_updates_come_once_a_second_at_most() -> None:
    player = Player()
    player.frames(500, score=0.0)
    scores = [t for t in player.tags if t.kind == "score"]
    assert 8 <= len(scores) <= 11


def test_silence_is_no_speech_and_never_human_whatever_the_scores() -> None:
    player = Player()
    player.frames(500, QUIET, score=99.0)
    assert player.verdicts == [Verdict.LISTENING, Verdict.NO_SPEECH]
    assert player.tags[-1].llr is None
    player.frames(100, score=5.0)
    assert player.call.state is Verdict.HUMAN_LIKELY


def test_lost_audio_is_no_evidence_and_is_marked() -> None:
    player = Player()
    player.frames(200, lost=True, score=99.0)
    assert Verdict.HUMAN_LIKELY not in player.verdicts
    tag = player.call.tag()
    assert tag.loss == 1.0
    assert tag.lossy
    assert "lossy-audio" in tag.reasons
    assert tag.net_speech_s == 0.0


@pytest.mark.parametrize("chunk_samples", [1280, 2560])
def test_loss_is_remembered_for_as_long_whatever_the_chunk(chunk_samples: int) -> None:
    call = Call(CallInfo("c"), CallConfig(chunk_samples=chunk_samples), lambda pcm, rate: True, 0.0)
    marked = []
    for index in range(600):  # 0.64 s lost, then 11.36 s heard
        call.receive_frame(AudioFrame(np.ones(160, np.int16), 8000, index * 160, index < 32), index * 0.02)
        marked.append(call.tag().lossy)
    assert marked.index(True) < 32
    assert 6.0 < 0.02 * (599 - marked[::-1].index(True)) < 8.0  # 0.64 / 10.24 has shrunk below 3 %


def test_loss_is_forgotten_after_a_while() -> None:
    player = Player()
    player.frames(40, lost=True)
    assert player.call.tag().lossy
    player.frames(2000)
    assert not player.call.tag().lossy
    assert player.call.tag().loss == pytest.approx(40 / 2040, abs=1e-3)


def test_missing_audio_is_unknown_until_it_comes_back() -> None:
    player = Player()
    player.frames(150, score=4.0)
    assert player.call.next_timer() == pytest.approx(player.now + 5.0)
    player.wait(4.9)
    assert player.call.state is Verdict.HUMAN_LIKELY
    player.wait(0.2)
    assert player.call.state is Verdict.UNKNOWN
    assert player.tags[-1].reasons == ("no-audio",)
    assert player.call.next_timer() is None
    player.frames(1)
    assert player.call.state is Verdict.HUMAN_LIKELY


def test_audio_that_never_came_is_unknown() -> None:
    player = Player()
    player.wait(5.1)
    assert player.verdicts == [Verdict.LISTENING, Verdict.UNKNOWN]


@pytest.mark.parametrize("reason", ["model-error", "overload"])
def test_audio_that_comes_back_clears_nobody_while_the_engine_fails(reason: str) -> None:
    player = Player()
    player.frames(150, score=4.0)
    player.call.receive_failure(reason, player.now)
    player.wait(5.1)
    assert player.tags[-1].reasons == ("no-audio",)
    player.frames(1)
    assert player.call.state is Verdict.UNKNOWN
    assert player.tags[-1].reasons == (reason,)
    player.frames(24, score=4.0)
    assert player.call.state is Verdict.HUMAN_LIKELY, "scores come again, and the failure was seconds ago"


@pytest.mark.parametrize(("lost", "loss"), [(True, 20 / 40), (False, 0.0)])
def test_a_long_hole_counts_whole_though_little_of_it_is_handed_on(lost: bool, loss: float) -> None:
    player = Player()
    player.frames(500)
    player.frames(50, QUIET, lost=lost)
    player.position += 19 * 8000
    player.frames(500)
    tag = player.call.tag()
    assert (tag.audio_s, tag.media_time_s) == (40.0, 40.0)
    assert tag.loss == pytest.approx(loss)


@pytest.mark.parametrize("reason", ["model-error", "overload"])
def test_a_failure_is_unknown_and_is_over_once_scores_keep_coming(reason: str) -> None:
    player = Player()
    player.frames(150, score=4.0)
    player.call.receive_failure(reason, player.now)
    player.drain()
    assert player.call.state is Verdict.UNKNOWN
    assert player.tags[-1].reasons == (reason,)
    player.frames(90, score=4.0)
    assert player.call.state is Verdict.UNKNOWN
    player.frames(24, score=4.0)
    assert player.call.state is Verdict.HUMAN_LIKELY


def test_a_call_that_fails_now_and_then_does_not_flicker() -> None:
    player = Player()
    for _ in range(20):
        player.frames(48, score=4.0)
        player.call.receive_failure("overload", player.now)
        player.drain()
    assert player.verdicts == [Verdict.LISTENING, Verdict.UNKNOWN]


def test_a_repeated_failure_is_told_once() -> None:
    player = Player()
    for _ in range(5):
        player.call.receive_failure("overload", player.now)
    player.drain()
    assert player.verdicts == [Verdict.LISTENING, Verdict.UNKNOWN]


def test_a_failed_call_is_never_cleared_by_silence() -> None:
    player = Player()
    player.call.receive_failure("model-error", player.now)
    player.frames(100, QUIET, score=99.0)
    assert Verdict.HUMAN_LIKELY not in player.verdicts


def test_the_end_repeats_the_tag_and_says_why() -> None:
    player = Player()
    player.frames(150, score=-4.0)
    player.call.close("rtp-timeout", player.now)
    events = player.call.events()
    assert isinstance(events[-1], CallEnded)
    assert events[-1].tag.tag is Verdict.DEEPFAKE_LIKELY
    assert events[-1].tag.reasons == ("rtp-timeout",)


def test_after_the_end_nothing_is_said() -> None:
    player = Player()
    player.call.close("closed", player.now)
    player.drain()
    count = len(player.tags)
    player.frames(50, score=4.0)
    player.call.close("closed", player.now)
    player.call.receive_failure("overload", player.now)
    player.wait(100)
    assert len(player.tags) == count
    assert player.call.next_timer() is None


@pytest.mark.parametrize("samples", [80, 160, 240, 320, 400, 480])
def test_packets_of_10_to_60_ms_count_the_same_speech(samples: int) -> None:
    player = Player()
    for _ in range(4800 // samples):
        player.call.receive_frame(AudioFrame(np.full(samples, 900, np.int16), 8000, 0), player.now)
    assert player.call.net_speech_s == pytest.approx(0.6)
    assert player.call.audio_s == pytest.approx(0.6)


@pytest.mark.parametrize("rate", [16000, 24000, 48000])
def test_wideband_audio_is_brought_down_before_anything_looks_at_it(rate: int) -> None:
    player = Player()
    for _ in range(50):
        player.call.receive_frame(AudioFrame(np.full(rate // 50, 900, np.int16), rate, 0), player.now)
    assert player.call.audio_s == pytest.approx(1.0)
    assert player.call.net_speech_s == pytest.approx(1.0, abs=0.03)


def test_what_is_known_of_the_call_is_published_with_it() -> None:
    info = CallInfo("c9", "agent", "webrtc", {"queue": "billing"}, {"caller": "+1 555"})
    tag = Player(info=info).tags[0]
    assert (tag.call_id, tag.leg, tag.source, tag.model) == ("c9", "agent", "webrtc", "m1")
    assert tag.metadata == {"queue": "billing"}
    assert tag.pii == {"caller": "+1 555"}


def test_every_reason_has_a_sentence() -> None:
    player = Player()
    player.frames(300, QUIET, score=0.0)
    player.frames(100, lost=True, score=0.0)
    player.wait(6)
    player.call.close("drained", player.now)
    player.drain()
    assert {reason for tag in player.tags for reason in tag.reasons} <= set(REASONS)


def test_events_are_of_the_four_kinds() -> None:
    player = Player()
    player.frames(8)
    player.call.receive_score(0.0, player.chunks[0], player.now + 2)
    kinds = {type(event) for event in player.call.events()}
    assert kinds <= {ChunkReady, TagChanged, ScoreUpdated, CallEnded}


def test_the_table_is_complete_and_printed() -> None:
    assert len(table().splitlines()) == len(TRANSITIONS)
    for state in Verdict:
        assert TRANSITIONS[state, Signal.FAILURE] == {Verdict.UNKNOWN}
        assert TRANSITIONS[state, Signal.AUDIO_GONE] == {Verdict.UNKNOWN}
    for (_, signal), targets in TRANSITIONS.items():
        if Verdict.HUMAN_LIKELY in targets:  # heard speech, audio that returns to a call judged before, a judged answer
            assert signal in (Signal.EVIDENCE, Signal.AUDIO_BACK, Signal.EXAMINED)


def test_a_transition_outside_the_table_is_our_bug() -> None:
    player = Player()
    player.frames(150, score=4.0)
    with pytest.raises(AssertionError, match="does not know"):
        player.call._move(Signal.SILENCE, Verdict.NO_SPEECH)


def test_an_examination_s_record_is_published_and_stays_with_later_records() -> None:
    player = Player()
    player.call.events()
    player.call.receive_examination_record({"state": "asked"})
    (event,) = player.call.events()
    assert event.tag.kind == "exam"
    assert event.tag.examination == {"state": "asked"}
    assert player.call.tag().examination == {"state": "asked"}


def test_an_operator_s_decision_moves_the_tag_and_is_given_as_a_reason() -> None:
    player = Player()
    player.call.receive_examination(0.0, ("operator-override",), verdict=Verdict.DEEPFAKE_LIKELY)
    assert player.call.state is Verdict.DEEPFAKE_LIKELY
    assert "operator-override" in player.call.tag().reasons


def test_evidence_of_an_answer_waits_behind_a_failure() -> None:
    player = Player()
    player.call.receive_failure("overload", 1.0)
    player.call.receive_examination(2.0, ())
    assert player.call.state is Verdict.UNKNOWN


def test_evidence_of_an_answer_brings_no_tag_back_while_the_audio_is_gone() -> None:
    player = Player()
    player.frames(150, score=4.0)
    player.call.handle_timer(1000.0)
    assert player.call.state is Verdict.UNKNOWN
    player.call.receive_examination(2.0, ())
    assert player.call.state is Verdict.UNKNOWN
    assert player.call.tag().reasons[0] == "no-audio"
    player.call.receive_examination(0.0, ("operator-override",), verdict=Verdict.DEEPFAKE_LIKELY)
    assert player.call.state is Verdict.UNKNOWN, "an operator's word waits too: the next tick would take it back"
    player.frames(10)
    assert player.call.state is Verdict.DEEPFAKE_LIKELY


@pytest.mark.parametrize(("rate", "milliseconds"), [(8000, 5), (8000, 15), (16000, 5), (16000, 2.5), (48000, 2.5), (8000, 20)])
def test_speech_is_heard_whatever_the_length_of_packets(rate: int, milliseconds: float) -> None:
    player, size = Player(), round(rate * milliseconds / 1000)
    tone = (3000 * np.sin(np.arange(rate) * 2 * np.pi * 300 / rate)).astype(np.int16)
    for at in range(0, rate - size + 1, size):
        player.now += milliseconds / 1000
        player.call.receive_frame(AudioFrame(tone[at : at + size], rate, at), player.now)
    assert player.call.net_speech_s == pytest.approx(player.call.audio_s, abs=0.011)


def test_what_was_lost_between_two_pieces_does_not_join_them() -> None:
    player = Player()
    for at in range(0, 4000, 40):  # 5 ms, then 5 ms lost
        player.call.receive_frame(AudioFrame(SPEECH[:40], 8000, at, lost=bool(at // 40 % 2)), player.now)
    assert player.call.net_speech_s == 0.0


def test_another_stream_is_another_voice_until_one_is_heard() -> None:
    player = Player()
    player.frames(150, score=-4.0)
    assert player.call.state is Verdict.DEEPFAKE_LIKELY
    player.frames(4)  # half a chunk, and one that the model still has
    player.call.change_source(player.now)
    player.drain()
    tag = player.tags[-1]
    assert (tag.tag, tag.llr, tag.reasons) == (Verdict.LISTENING, None, ("too-little-speech", "source-changed"))
    player.frames(40, score=4.0)
    assert player.call.state is Verdict.LISTENING
    assert "source-changed" in player.call.tag().reasons
    player.frames(110, score=4.0)
    assert player.call.state is Verdict.HUMAN_LIKELY
    assert player.tags[-1].reasons == ()
    assert player.call.sources == 2


def test_what_the_model_still_has_of_the_old_stream_is_no_evidence_about_the_new() -> None:
    player = Player()
    player.frames(150, score=-4.0)
    player.frames(16)
    late = player.chunks[:]
    player.chunks.clear()
    player.call.change_source(player.now)
    for chunk in late:
        player.call.receive_score(-9.0, chunk, player.now)
    assert player.call.llr is None


def test_handing_on_takes_no_operator_s_word_away_and_clears_nobody_who_was_asked() -> None:
    player = Player()
    player.frames(150, score=4.0)
    player.call.receive_examination(0.0, ("late",), passed=False)
    player.call.change_source(player.now)
    player.frames(150, score=4.0)
    assert player.call.state is Verdict.UNCERTAIN
    player.call.receive_examination(0.0, ("operator-override",), verdict=Verdict.DEEPFAKE_LIKELY)
    player.call.change_source(player.now)
    player.drain()
    assert player.call.state is Verdict.DEEPFAKE_LIKELY


def test_missing_audio_and_failures_stay_what_they_are_when_the_stream_changes() -> None:
    player = Player()
    player.frames(150, score=4.0)
    player.call.receive_failure("model-error", player.now)
    player.call.change_source(player.now)
    player.drain()
    assert player.call.state is Verdict.UNKNOWN
    assert player.call.tag().reasons[0] == "model-error"


def test_a_stranger_who_sends_after_the_silence_was_told_is_told_too() -> None:
    call = Call(CallInfo("x"), CallConfig(), lambda *_: False, 0.0)
    call.handle_timer(5.0)
    call.events()
    call.receive_foreign(6.0)
    told = [event.tag.reasons for event in call.events() if isinstance(event, ScoreUpdated)]
    assert told == [("no-audio", "foreign-audio")]
    call.close("closed", 7.0)
    call.events()
    call.receive_foreign(8.0)
    assert not call.has_events
