"""Made-up records for tests of the way out."""

from __future__ import annotations

from engine.events import TEXTS, Tag, Verdict


def make_tag(seq: int = 0, kind: str = "tag", call_id: str = "c1", verdict: Verdict = Verdict.UNCERTAIN) -> Tag:
    return Tag(
        kind=kind, seq=seq, call_id=call_id, leg="caller", tag=verdict, text=TEXTS[verdict], llr=-1.5, probability=0.82,
        net_speech_s=2.5, audio_s=4.0, loss=0.0, lossy=False, reasons=(), model="test", media_time_s=4.0, source="rtp",
    )  # fmt: skip
