"""What a second of audio costs, and whether one more call fits. Pure: processor times and `now` in.

Delay shows an overload only when it is there, and a hundred calls that were let in a moment ago are not in it yet. The
price of a call is known as soon as a few are running; times the calls that are open, it says what is coming.
"""

from __future__ import annotations

WINDOW_S = 1.0  # shorter spans than this are not looked at
WEIGHT = 0.3  # of a window in the running prices
QUIET = 0.4  # below this share of the allowance prices say little: what is always done weighs most in them
ONE_THREAD = 0.85  # of a core that one thread may come to: what is beyond it waits


class LoadMeter:
    """Prices in core-seconds per second of one leg's audio: of the event loop, and of the scoring threads."""

    def __init__(self, *, cores: int, workers: int, max_load: float, chunk_s: float) -> None:
        self.load = 0.0  # share in use of what is scarcest: the allowance, the loop's core, the scoring threads
        self._allowance = max_load * cores  # cores
        self._workers, self._chunk_s = workers, chunk_s
        self._loop_price = self._score_price = 0.0
        self._before: tuple[float, float, float, int] | None = None

    def update(self, now: float, loop_s: float, scoring_s: float, chunks: int) -> None:
        """Processor seconds so far of the loop's thread and of all scoring threads, and chunks scored so far."""
        if self._before is None:
            self._before = now, loop_s, scoring_s, chunks
            return
        then, loop_then, scoring_then, chunks_then = self._before
        if (passed := now - then) < WINDOW_S:
            return
        self._before = now, loop_s, scoring_s, chunks
        loop, scoring = loop_s - loop_then, scoring_s - scoring_then
        shares = ((loop + scoring) / self._allowance, loop / ONE_THREAD, scoring / (ONE_THREAD * self._workers))
        self.load += WEIGHT * (max(shares) / passed - self.load)
        audio = (chunks - chunks_then) * self._chunk_s
        if audio > 0:
            first = not self._loop_price
            weight = 1.0 if first else WEIGHT
            self._loop_price += weight * (loop / audio - self._loop_price)
            self._score_price += weight * (scoring / audio - self._score_price)

    def refusal(self, legs: int) -> str | None:
        """Why `legs` open legs would be too many, or None when they fit."""
        if self.load < QUIET:
            return None
        loop, scoring = legs * self._loop_price, legs * self._score_price
        if loop + scoring > self._allowance:
            return f"{legs} legs would need {loop + scoring:.2f} of the {self._allowance:.2f} cores allowed (calls.max_load)"
        if loop > ONE_THREAD:
            return f"{legs} legs would need {loop:.2f} of the one core that receives them"
        if scoring > ONE_THREAD * self._workers:
            return f"{legs} legs would need {scoring:.2f} of {self._workers} scoring threads"
        return None
