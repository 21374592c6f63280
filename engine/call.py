"""One leg of one call as a pure object: frames, scores and `now` in; events and the next deadline out.

It cannot tell a live socket from a recording or a test. Its shell feeds it, drains `events()`, acts, and re-arms one
timer. What the operator is shown is one of six states; `python -m engine.call` prints how they follow each other.

Never fail open: an error, an overload or missing audio moves the call to `unknown`, silence leaves it `listening` or
moves it to `no-speech`; only scores over speech that was really heard can clear a caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from engine.audio import AudioFrame, Chunk, Chunker, Samples
from engine.events import TEXTS, CallEnded, ChunkReady, Event, ScoreUpdated, Tag, TagChanged, Verdict
from engine.explanation import Explainer, Explanation, Limits, unvoiced
from engine.policy import Policy, PolicyConfig, counts

Vad = Callable[[bytes, int], bool]  # (PCM of 10, 20 or 30 ms, rate) -> speech; webrtcvad's is_speech fits

LOSS_MEMORY_S = 10.24  # over which the running loss forgets
LOSSY_SHARE = 0.03
RECOVER_S = 2.0  # after a failure the tag stays unknown so long: a verdict that comes and goes helps nobody


class Signal(StrEnum):
    """What can move a call from one state to another."""

    EVIDENCE = "evidence"  # a score over heard speech arrived; the policy says where to
    SILENCE = "silence"  # much audio and still no speech
    AUDIO_GONE = "audio-gone"  # no packet for a while
    AUDIO_BACK = "audio-back"  # the first packet after that; a failure from before is not over by it
    FAILURE = "failure"  # model error or overload
    EXAMINED = "examined"  # an answer was judged, or the operator decided
    SOURCE = "source"  # another stream of sound took the place of the first


_VERDICTS = frozenset({Verdict.LISTENING, Verdict.UNCERTAIN, Verdict.DEEPFAKE_LIKELY, Verdict.HUMAN_LIKELY})
_UNKNOWN = frozenset({Verdict.UNKNOWN})

# From every state on every signal, the states that may follow. Anything else is our bug.
TRANSITIONS: Mapping[tuple[Verdict, Signal], frozenset[Verdict]] = {
    (Verdict.LISTENING, Signal.EVIDENCE): _VERDICTS,
    (Verdict.LISTENING, Signal.SILENCE): frozenset({Verdict.NO_SPEECH}),
    (Verdict.NO_SPEECH, Signal.EVIDENCE): _VERDICTS,
    (Verdict.UNCERTAIN, Signal.EVIDENCE): _VERDICTS,
    (Verdict.DEEPFAKE_LIKELY, Signal.EVIDENCE): _VERDICTS,
    (Verdict.HUMAN_LIKELY, Signal.EVIDENCE): _VERDICTS,
    (Verdict.UNKNOWN, Signal.EVIDENCE): _VERDICTS,
    # An error is over when a score comes; missing audio is over when audio comes.
    (Verdict.UNKNOWN, Signal.AUDIO_BACK): _VERDICTS | _UNKNOWN,
    **{(state, signal): _UNKNOWN for state in Verdict for signal in (Signal.AUDIO_GONE, Signal.FAILURE)},
    **{(state, Signal.EXAMINED): _VERDICTS for state in Verdict},
    **{(state, Signal.SOURCE): frozenset({Verdict.LISTENING}) for state in Verdict if state not in _UNKNOWN},
}


@dataclass(frozen=True, slots=True)
class CallConfig:
    """What is the same for all calls of a service."""

    rate: int = 8000  # Hz, the model's
    chunk_samples: int = 1280
    model: str = "none"
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    no_audio_s: float = 5.0  # without a packet -> unknown
    no_speech_s: float = 8.0  # of audio without speech -> no-speech
    score_interval_s: float = 1.0  # between score updates; a change of tag never waits
    limits: Limits = field(default_factory=Limits)  # of the distances that explain a score
    voice: float | None = None  # probability of a voice below which a chunk is no evidence; None: all speech is


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What is known of one leg besides its sound."""

    call_id: str
    leg: str = "caller"
    source: str = "rtp"
    metadata: Mapping[str, str] = field(default_factory=dict)
    pii: Mapping[str, str] = field(default_factory=dict)


class Call:
    """The screening state machine of one leg."""

    def __init__(self, info: CallInfo, config: CallConfig, vad: Vad, now: float) -> None:
        self.info = info
        self.state = Verdict.LISTENING
        self.ended = False
        self._config = config
        self._vad = vad
        self._chunker = Chunker(config.rate, config.chunk_samples)
        self._chunk_s = config.chunk_samples / config.rate
        self._policy = Policy(config.policy)
        self._explainer = Explainer(config.limits, config.policy.forget_s, config.policy.min_speech_s)
        self._block = config.rate // 50  # samples: 20 ms for the voice activity detector
        self._block_s = self._block / config.rate
        self._events: list[Event] = []
        self._reason = ""  # why the state is unknown
        self._failure = ""  # of the engine, until scores come again: missing audio may hide it meanwhile
        self._rest = b""  # of the sound before, less than the shortest block that the detector takes
        self._audio_samples = self._lost_samples = 0
        self._next = (config.rate, 0, False)  # of the frame before: its rate, where it ended, whether it was lost
        self._speech_samples = 0
        self._silent_s = 0.0  # audio since the last speech
        self._voiced = True  # the last chunk that was taken for speech held a voice
        self._recent_loss = 0.0
        self._heard = now  # when the last packet came
        self._foreign = False  # since then somebody else sends
        self._failed = now - RECOVER_S  # when the engine last failed this call
        self._rejoined = False  # nobody has spoken since the engine began to listen again
        self.sources = 1  # streams of sound, one after the other
        self._first = 0  # chunk of the stream that is heard now
        self._changed = False  # of which too little has been heard yet
        self._scored = now - config.score_interval_s
        self._seq = 0
        self._examination: Mapping[str, Any] | None = None
        self._examined: tuple[str, ...] = ()  # reasons that the examination gave
        self._aside = False  # what is heard now is no part of the running evidence
        self._emit("tag")

    # --- in ---------------------------------------------------------------------------------------------------------

    def receive_frame(self, frame: AudioFrame, now: float) -> None:
        """Sound of this leg, in order; lost packets come as frames too."""
        if self.ended:
            return
        samples = frame.samples if frame.rate == self._config.rate else self._chunker.resample(frame)
        size = len(samples)
        self._skip(frame)
        self._audio_samples += size
        if frame.lost:
            self._lost_samples += size
            speech_s, self._rest = 0.0, b""
        else:
            self._heard, self._foreign = now, False
            if self._reason == "no-audio":
                self._move(Signal.AUDIO_BACK, Verdict.UNKNOWN if self._failure else self._policy.verdict, self._failure)
            speech_s = self._speech_seconds(samples, size)
        for chunk in self._chunker.feed(samples, speech_s, frame.lost, now):
            self._complete(chunk)

    def receive_score(self, score: float, chunk: Chunk, now: float, explanation: Explanation | None = None) -> None:
        """The model's raw score after `chunk`. Chunks without heard speech leave the evidence as it is."""
        if self.ended:
            return
        failing = bool(self._failure)
        heard = counts(chunk, self._chunk_s) and not self._passed_over(chunk, explanation) and chunk.index >= self._first
        verdict = self._policy.add(score, chunk.speech_s) if heard else self._policy.verdict
        if heard and explanation is not None:
            self._explainer.add(explanation, chunk.speech_s)
        if self._rejoined and chunk.speech_s and not unvoiced(explanation, self._config.voice):
            self._rejoined = False
        self._changed = self._changed and not self._policy.enough
        recovered = now - self._failed >= RECOVER_S and not self._rejoined
        if recovered if failing else heard:
            self._failure = ""
            self._move(Signal.EVIDENCE, verdict)
        if now - self._scored >= self._config.score_interval_s:
            self._emit("score")
            self._scored = now

    def rejoin(self, now: float) -> None:
        """Sound comes again after a time in which the engine did not listen; what was begun before is not joined to it.

        Somebody else may have the telephone by now: until somebody speaks, the verdict from before stands for nobody.
        """
        self._chunker.flush(now)
        self._heard, self._failed, self._rejoined = now, max(now, self._failed), True
        self._next = (*self._next[:2], False)  # nobody listened, nothing was lost

    def change_source(self, now: float) -> None:
        """Another stream takes the place of the first: a transfer, an announcement before a person. A new source, so a new
        voice until one is heard (RFC 3550 sections 5.1 and 8.2): the verdict from before stands for nobody."""
        if self.ended:
            return
        self._chunker.flush(now)
        self._first = self._chunker.index
        self.sources, self._changed, self._rest = self.sources + 1, True, b""
        self._policy.begin_anew()
        self._explainer = Explainer(self._config.limits, self._config.policy.forget_s, self._config.policy.min_speech_s)
        before = self.state
        if before is not Verdict.UNKNOWN and self._policy.verdict is Verdict.LISTENING:
            self._move(Signal.SOURCE, Verdict.LISTENING)
        if self.state is before:
            self._emit("score")  # the reason is new

    def receive_foreign(self, now: float) -> None:
        """Instead of this leg's sender another sends. It is not listened to; should nothing else come, that is why."""
        self._foreign = not self.ended
        if self._foreign and self._reason == "no-audio":
            self._emit("score")  # the reason is new

    def receive_failure(self, reason: str, now: float) -> None:
        """The engine could not judge part of this call: `model-error` or `overload`."""
        self._failed, self._failure = now, reason
        if not self.ended and self._reason != reason:
            self._move(Signal.FAILURE, Verdict.UNKNOWN, reason)

    def receive_examination(
        self, llr: float, reasons: tuple[str, ...], *, passed: bool = True, sounded: bool = False,
        verdict: Verdict | None = None,
    ) -> None:  # fmt: skip
        """An answer's evidence, natural log, high is human, whether it passed and whether it was a voice whose sound was
        judged; or, with `verdict`, an operator's word."""
        if self.ended:
            return
        self._examined = tuple(dict.fromkeys((*self._examined, *reasons)))
        target = self._policy.examine(llr, passed, sounded=sounded) if verdict is None else self._policy.set_by_hand(verdict)
        before = self.state
        if not self._reason and target is not Verdict.LISTENING:  # a failure or missing audio must be over first
            self._move(Signal.EXAMINED, target)
        if self.state is before:
            self._emit("score")  # the numbers changed

    def set_aside(self, aside: bool) -> None:
        """Chunks from now on are scored and shown, but are no evidence here: they are an answer, judged by itself."""
        self._aside = aside

    def receive_examination_record(self, record: Mapping[str, Any]) -> None:
        """The examination went on: publish where it stands."""
        self._examination = record
        if not self.ended:
            self._emit("exam")

    def close(self, reason: str, now: float) -> None:
        """The call is over. The last record repeats the standing tag and says why it ended."""
        if self.ended:
            return
        self._emit("end", reason)
        self.ended = True

    # --- out --------------------------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called; None when there is nothing to wait for."""
        return None if self.ended or self._reason == "no-audio" else self._heard + self._config.no_audio_s

    def handle_timer(self, now: float) -> None:
        due = self.next_timer()
        if due is not None and now >= due:
            self._move(Signal.AUDIO_GONE, Verdict.UNKNOWN, "no-audio")

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    def events(self) -> list[Event]:
        """What happened since the last time; draining is the shell's duty after every call in."""
        drained, self._events = self._events, []
        return drained

    @property
    def audio_s(self) -> float:
        return self._audio_samples / self._config.rate

    @property
    def net_speech_s(self) -> float:
        return self._speech_samples / self._config.rate

    @property
    def llr(self) -> float | None:
        return self._policy.llr

    @property
    def judged_llr(self) -> float | None:
        """`llr` once it rests on enough speech for a verdict."""
        return self._policy.llr if self._policy.enough else None

    @property
    def mean_score(self) -> float | None:
        return self._policy.mean

    @property
    def evidence_s(self) -> float:
        """Speech seconds that the standing score rests on."""
        return self._policy.speech_s

    def tag(self, kind: str = "score", *reasons: str) -> Tag:
        """The record of this moment."""
        policy, info = self._policy, self.info
        llr, probability = policy.llr, policy.probability
        return Tag(
            kind=kind,
            seq=self._seq,
            call_id=info.call_id,
            leg=info.leg,
            tag=self.state,
            text=TEXTS[self.state],
            llr=None if llr is None else round(llr, 4),
            probability=None if probability is None else round(probability, 4),
            net_speech_s=round(self.net_speech_s, 2),
            audio_s=round(self.audio_s, 2),
            loss=round(self._lost_samples / max(1, self._audio_samples), 4),
            lossy=self._recent_loss > LOSSY_SHARE,
            reasons=(*reasons, *self._reasons()),
            model=self._config.model,
            media_time_s=round(self.audio_s, 2),
            source=info.source,
            metadata=info.metadata,
            pii=info.pii,
            explanation=self._explainer.values,
            examination=self._examination,
        )

    # --- inside -----------------------------------------------------------------------------------------------------

    def _skip(self, frame: AudioFrame) -> None:
        """Count the time between two frames that nothing was handed on for: of a long hole the receiver gives a second."""
        rate, ended, lost = self._next
        if frame.timestamp > ended and frame.rate == rate:
            missing = (frame.timestamp - ended) * self._config.rate // rate
            self._audio_samples += missing
            self._lost_samples += missing * lost  # else the sender was silent
        self._next = (frame.rate, frame.timestamp + len(frame.samples), frame.lost)

    def _speech_seconds(self, samples: Samples, size: int) -> float:
        rate, block = self._config.rate, self._block
        if size == block and not self._rest:  # the common packet
            if not self._vad(samples.tobytes(), rate):
                return 0.0
            self._speech_samples += block
            return self._block_s
        speech, octets = 0, self._rest + samples.tobytes()
        vad, step = self._vad, 2 * block  # bytes of 20 ms
        whole = len(octets) - len(octets) % step
        for start in range(0, whole, step):
            if vad(octets[start : start + step], rate):
                speech += block
        if len(octets) - whole >= block:  # bytes of 10 ms
            speech += block // 2 if vad(octets[whole : whole + block], rate) else 0
            whole += block
        self._rest = octets[whole:]
        self._speech_samples += speech
        return speech / rate

    def _passed_over(self, chunk: Chunk, explanation: Explanation | None) -> bool:
        """Whether the model hears no voice where the detector heard speech: that was none, then."""
        self._voiced = not unvoiced(explanation, self._config.voice)
        if not self._voiced:
            self._policy.pass_over(chunk.speech_s)
            self._speech_samples -= round(chunk.speech_s * self._config.rate)
        return not self._voiced

    def _complete(self, chunk: Chunk) -> None:
        self._events.append(ChunkReady(replace(chunk, aside=True) if self._aside else chunk))
        self._recent_loss += (chunk.lost_s - self._recent_loss * self._chunk_s) / LOSS_MEMORY_S
        self._silent_s = 0.0 if chunk.speech_s and self._voiced else self._silent_s + self._chunk_s
        if self.state is Verdict.LISTENING and self._silent_s >= self._config.no_speech_s:
            self._move(Signal.SILENCE, Verdict.NO_SPEECH)

    def _move(self, signal: Signal, target: Verdict, reason: str = "") -> None:
        before, before_reason = self.state, self._reason
        if target not in TRANSITIONS.get((before, signal), frozenset()):
            raise AssertionError(f"{signal} moves {before} to {target}, which the table does not know")
        self.state, self._reason = target, reason
        if target is not before or reason != before_reason:
            self._emit("tag")

    def _reasons(self) -> tuple[str, ...]:
        found = []
        if self._reason:
            found.append(self._reason)
        if self._reason == "no-audio" and self._foreign:
            found.append("foreign-audio")
        if self.state is Verdict.LISTENING:
            found.append("too-little-speech")
        if self.state is Verdict.NO_SPEECH:
            found.append("no-speech")
        if self._recent_loss > LOSSY_SHARE:
            found.append("lossy-audio")
        if self._changed:
            found.append("source-changed")
        return (*found, *self._explainer.reasons(self.state), *self._examined)

    def _emit(self, kind: str, *reasons: str) -> None:
        tag = self.tag(kind, *reasons)
        self._seq += 1
        if kind in ("tag", "exam"):
            self._events.append(TagChanged(tag))
        elif kind == "score":
            self._events.append(ScoreUpdated(tag))
        else:
            self._events.append(CallEnded(tag))


def table() -> str:
    """The transitions as text, one line each."""
    rows = [(str(s), str(e), " | ".join(sorted(t))) for (s, e), t in sorted(TRANSITIONS.items())]
    return "\n".join(f"{state:16} {signal:11} -> {targets}" for state, signal, targets in rows)


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # `| head`
        print(table(), flush=True)
