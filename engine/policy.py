"""From raw scores to a verdict: what counts as evidence, and how much of it accuses or clears.

A score becomes evidence only where somebody spoke and the audio arrived. The mean of those scores over the call, less
what they scatter, forgetting slowly so that a voice converter switched on later shows, is calibrated into a
log-likelihood ratio. A verdict needs a minimum of net speech, two agreeing chunks to enter, and a margin to leave.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from engine.audio import Chunk
from engine.events import Verdict

MIN_CHUNK_SPEECH_S = 0.06  # below this a chunk says nothing about a voice
MAX_CHUNK_LOSS = 0.5  # share of a chunk that may be lost and still count
LEAST_VOICE = 0.25  # share of what the voice activity detector calls speech that has to be a voice: some noise is like one
ENOUGH_ANSWERS = 2  # that were voices are speech enough for a verdict


@dataclass(frozen=True, slots=True)
class Calibration:
    """llr = (slope * level + offset) * min(speech, cap) ** growth; fitted on the development split.

    The level is the mean of the raw scores minus `spread` times their deviation; see RunningScore for `warm_s`.
    """

    slope: float = 1.0
    offset: float = 0.0
    growth: float = 0.0
    cap_s: float = 1.0
    spread: float = 0.0
    warm_s: float = 0.0

    def llr(self, level: float, speech_s: float) -> float:
        evidence = math.pow(min(max(speech_s, 0.0), self.cap_s), self.growth)
        return (self.slope * level + self.offset) * evidence


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """Thresholds are natural-log likelihood ratios, bona fide over spoof."""

    calibration: Calibration = field(default_factory=Calibration)
    deepfake_llr: float = -3.0  # "Deepfake-likely" at or below
    human_llr: float = 1.0  # "Human-likely" at or above
    margin: float = 0.5  # how far back over its threshold a verdict must go before it is withdrawn
    agreeing_chunks: int = 2
    min_speech_s: float = 2.0
    forget_s: float = 20.0  # speech seconds after which a score counts 1/e
    examined_share: float = 1.25  # of `deepfake_llr`: once an answer counts, so much is needed: answers of one caller err alike
    prior: float = 0.5  # assumed share of synthetic callers, for `probability` only


class RunningScore:
    """Speech-weighted mean and deviation of raw scores with exponential forgetting. Weights are speech seconds.

    Of the first `warm_s` seconds of speech a chunk counts the share that has been heard by its end.
    """

    __slots__ = ("_forget_s", "_square", "_sum", "_warm_s", "_weight", "speech_s")

    def __init__(self, forget_s: float, warm_s: float = 0.0) -> None:
        self._forget_s, self._warm_s = forget_s, warm_s
        self._sum = 0.0
        self._square = 0.0
        self._weight = 0.0
        self.speech_s = 0.0  # all speech heard, not only what is remembered

    def add(self, score: float, speech_s: float) -> None:
        kept = math.exp(-speech_s / self._forget_s)
        self.speech_s += speech_s
        weight = speech_s * min(1.0, self.speech_s / self._warm_s) if self._warm_s else speech_s
        self._sum = self._sum * kept + score * weight
        self._square = self._square * kept + score * score * weight
        self._weight = self._weight * kept + weight

    @property
    def mean(self) -> float | None:
        return self._sum / self._weight if self._weight > 0 else None

    @property
    def deviation(self) -> float:
        """Of the scores around their mean; 0 before there are two."""
        if self._weight <= 0:
            return 0.0
        mean = self._sum / self._weight
        return math.sqrt(max(0.0, self._square / self._weight - mean * mean))

    def level(self, spread: float) -> float | None:
        """The mean minus `spread` deviations; None before there is a score."""
        return None if self.mean is None else self.mean - spread * self.deviation


def counts(chunk: Chunk, seconds: float) -> bool:
    """Whether a chunk of that length holds enough heard speech to be evidence, and is not set aside."""
    return not chunk.aside and chunk.speech_s >= MIN_CHUNK_SPEECH_S and chunk.lost_s <= MAX_CHUNK_LOSS * seconds


def synthetic_probability(llr: float, prior: float) -> float:
    """P(synthetic) from the ratio and the assumed share of synthetic callers (Bayes)."""
    odds = llr + math.log((1 - prior) / prior)
    if odds >= 0:
        return math.exp(-odds) / (1 + math.exp(-odds))
    return 1 / (1 + math.exp(odds))


class Policy:
    """The verdict over a call's speech. Holds only the running score and how long the evidence has agreed."""

    __slots__ = (
        "_agreeing", "_answered", "_by_hand", "_doubted", "_examined", "_leaning", "_running", "_sounded", "_unvoiced_s",
        "_voiced_s", "config", "llr", "verdict",
    )  # fmt: skip

    def __init__(self, config: PolicyConfig) -> None:
        self.config = config
        self.verdict = Verdict.LISTENING  # only ever listening, uncertain or one of the two verdicts
        self.llr: float | None = None
        self._running = RunningScore(config.forget_s, config.calibration.warm_s)
        self._leaning = Verdict.UNCERTAIN
        self._agreeing = 0
        self._examined = 0.0  # evidence of the examination, added to the sound's
        self._answered = False  # an answer was evidence
        self._doubted = False  # asked, and what was asked was not done
        self._sounded = 0  # answers that were voices, by themselves
        self._by_hand: Verdict | None = None  # an operator's word stands whatever is heard
        self._voiced_s = 0.0  # of what was taken for speech lately, the voices
        self._unvoiced_s = 0.0  # and what held no voice

    @property
    def speech_s(self) -> float:
        return self._running.speech_s

    @property
    def enough(self) -> bool:
        """Whether enough of a voice was heard for a verdict, and lately mostly a voice: in what was said, or in answers."""
        if self._sounded >= ENOUGH_ANSWERS:
            return True
        voice = self._voiced_s >= LEAST_VOICE * (self._voiced_s + self._unvoiced_s)
        return self._running.speech_s >= self.config.min_speech_s and voice

    @property
    def mean(self) -> float | None:
        """Mean raw score, before calibration."""
        return self._running.mean

    @property
    def probability(self) -> float | None:
        return None if self.llr is None else synthetic_probability(self.llr, self.config.prior)

    def add(self, score: float, speech_s: float) -> Verdict:
        """Take one chunk's score into account and say what the call looks like now."""
        self._running.add(score, speech_s)
        self._remember(voiced_s=speech_s)
        level = self._running.level(self.config.calibration.spread)
        if level is None or not math.isfinite(level):
            return self.verdict
        self.llr = self.config.calibration.llr(level, self._running.speech_s) + self._examined
        if self._by_hand is None and self.enough:
            self.verdict = self._judge(self.llr)
        return self.verdict

    def begin_anew(self) -> None:
        """Somebody else has the telephone: what was heard and answered before says nothing of them. An operator's word, and
        that a question was asked and not passed, stand: nobody is cleared by handing on."""
        self._running = RunningScore(self.config.forget_s, self.config.calibration.warm_s)
        self._leaning, self._agreeing = Verdict.UNCERTAIN, 0
        self._examined, self._answered, self._sounded = 0.0, False, 0
        self._voiced_s = self._unvoiced_s = 0.0
        self.llr, self.verdict = None, self._by_hand or Verdict.LISTENING

    def pass_over(self, speech_s: float) -> None:
        """A chunk was taken for speech and holds no voice: no evidence, and a reason to distrust what seemed to be some."""
        self._remember(unvoiced_s=speech_s)

    def examine(self, llr: float, passed: bool = True, *, sounded: bool = False) -> Verdict:
        """Add an examined answer's evidence; it needs no second chunk to agree, but speech enough for a verdict.

        `sounded`: the answer was a voice whose sound could be judged. ENOUGH_ANSWERS of those are speech enough, whatever
        noise was before them.
        An answer that says nothing, 0, leaves the verdict to what is heard. Whoever was asked and did not pass is not
        cleared by sound before another question is passed.
        """
        self._examined += llr
        self._answered |= llr != 0.0
        self._doubted = not passed
        self._sounded += sounded
        if llr:
            self.llr = (self.llr or 0.0) + llr
        if (llr or not passed) and self._by_hand is None and self.enough and self.llr is not None:
            self._leaning, self._agreeing = self._lean(self.llr), self.config.agreeing_chunks
            self.verdict = self._leaning
        return self.verdict

    def set_by_hand(self, verdict: Verdict) -> Verdict:
        """The operator's decision: nothing heard later changes it."""
        self.verdict = self._by_hand = verdict
        return verdict

    def _remember(self, voiced_s: float = 0.0, unvoiced_s: float = 0.0) -> None:
        """Music on hold is forgotten as scores are: else a minute of it would keep the verdict as it stood for minutes."""
        kept = math.exp(-(voiced_s + unvoiced_s) / self.config.forget_s)
        self._voiced_s = self._voiced_s * kept + voiced_s
        self._unvoiced_s = self._unvoiced_s * kept + unvoiced_s

    def _judge(self, llr: float) -> Verdict:
        leaning = self._lean(llr)
        self._agreeing = self._agreeing + 1 if leaning is self._leaning else 1
        self._leaning = leaning
        if leaning is Verdict.UNCERTAIN or self._agreeing >= self.config.agreeing_chunks:
            return leaning
        return self.verdict if self.verdict is not Verdict.LISTENING else Verdict.UNCERTAIN

    def _lean(self, llr: float) -> Verdict:
        """The side the evidence is on; a verdict that stands keeps its side until the margin is crossed."""
        c = self.config
        slack_fake = c.margin if self.verdict is Verdict.DEEPFAKE_LIKELY else 0.0
        slack_human = c.margin if self.verdict is Verdict.HUMAN_LIKELY else 0.0
        share = c.examined_share if self._answered else 1.0
        if llr <= share * c.deepfake_llr + slack_fake:
            return Verdict.DEEPFAKE_LIKELY
        if llr >= c.human_llr - slack_human and not self._doubted:
            return Verdict.HUMAN_LIKELY
        return Verdict.UNCERTAIN
