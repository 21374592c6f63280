"""Alarms, times to detect and subgroups of an evaluation, from trials and records with literal numbers."""

from __future__ import annotations

from dataclasses import replace
from math import log, log2

import numpy as np
import pytest

from engine.audio import AudioFrame, Chunk
from engine.call import Call, CallConfig, CallInfo
from engine.events import CallEnded, ScoreUpdated, Tag, TagChanged, Verdict
from engine.policy import PolicyConfig
from vivavoce import evaluation_lived as lived
from vivavoce.evaluation import figures
from vivavoce.evaluation_lived import Scored, Watch

TAG = Tag("tag", 0, "c", "caller", Verdict.LISTENING, "", None, None, 0.0, 0.0, 0.0, False, (), "m", 0.0, "recording")


def clip(label: str, llr: float, **more: object) -> Scored:
    row = {"label": label, "generator": "g" if label == "spoof" else ""} | dict(more.pop("row", {}))  # type: ignore[call-overload]
    return Scored(row, {"1 s": llr, "whole": llr}, speech_s=float(more.pop("speech_s", 3.0)), **more)  # type: ignore[arg-type]


def call(label: str, llr: float, **more: object) -> Scored:
    return replace(clip(label, llr, **more), llr={"10 s call": llr})


def test_a_watch_notes_the_first_alarm_and_counts_each_change_to_it() -> None:
    watch = Watch()
    for kind, verdict, speech_s in [
        ("tag", Verdict.LISTENING, 0.0), ("tag", Verdict.DEEPFAKE_LIKELY, 2.4), ("score", Verdict.DEEPFAKE_LIKELY, 3.4),
        ("tag", Verdict.UNCERTAIN, 5.0), ("tag", Verdict.DEEPFAKE_LIKELY, 6.2), ("end", Verdict.DEEPFAKE_LIKELY, 7.0),
    ]:  # fmt: skip
        watch(replace(TAG, kind=kind, tag=verdict, net_speech_s=speech_s))
    assert (watch.detected_s, watch.alarms) == (2.4, 2)


def test_the_time_is_when_the_policy_of_live_calls_changes_the_tag() -> None:
    # every chunk of 160 ms is speech; the verdict needs 2 s of it and two agreeing chunks: the 13th (2.08 s) and 14th
    watch, chunk_s = Watch(), 0.16
    leg = Call(CallInfo("c"), CallConfig(policy=PolicyConfig(deepfake_llr=-1.0)), lambda pcm, rate: True, 0.0)
    speech = np.ones(160, dtype=np.int16)
    for index in range(8 * 20):
        leg.receive_frame(AudioFrame(speech, 8000, index * 160), index * 0.02)
        for event in leg.events():
            if isinstance(event, TagChanged | ScoreUpdated | CallEnded):
                watch(event.tag)
            else:
                assert isinstance(event.chunk, Chunk)
                leg.receive_score(-5.0, event.chunk, index * 0.02)
        for event in leg.events():
            assert not hasattr(event, "chunk")
            watch(event.tag)  # type: ignore[union-attr]
    assert watch.detected_s == pytest.approx(14 * chunk_s)
    assert watch.alarms == 1


def test_alarms_are_counted_over_the_speech_of_people_by_kind_of_trial() -> None:
    trials = [clip("bonafide", 1.0, speech_s=1800.0, alarms=2), clip("bonafide", 1.0, speech_s=5400.0)]
    trials += [clip("spoof", -9.0, alarms=7), call("bonafide", 1.0, speech_s=3600.0)]
    found = lived.alarms(trials)
    assert list(found) == ["whole", "10 s call"]
    whole = found["whole"]
    assert (whole["alarms"], whole["hours"], whole["per_hour"], whole["trials"]) == (2, 2.0, 1.0, 2)
    assert whole["ever_accused"] == 0.5
    assert (found["10 s call"]["per_hour"], found["10 s call"]["low"]) == (0.0, 0.0)


def test_times_to_detect_by_kind_of_trial() -> None:
    trials = [clip("spoof", -3.0, speech_s=5.0, detected_s=2.3), clip("spoof", -3.0, speech_s=9.0, detected_s=6.0)]
    trials += [clip("spoof", 1.0, speech_s=1.0), clip("bonafide", -9.0, detected_s=2.1), call("spoof", 1.0, speech_s=11.0)]
    found = lived.times(trials)
    assert found["whole"] == {
        "spoof": 3, "detected": 2, "median_s": pytest.approx(4.15),
        "detected_by_2_s": 0, "detected_by_4_s": pytest.approx(1 / 3), "detected_by_8_s": pytest.approx(2 / 3),
        "lasting_2_s": 2, "lasting_4_s": 2, "lasting_8_s": 1,
    }  # fmt: skip
    assert (found["10 s call"]["detected"], found["10 s call"]["median_s"]) == (0, None)


def test_subgroups_say_of_how_many_clips_they_are_told() -> None:
    people = [clip("bonafide", llr, row={"gender": "f", "orig_sr": "8000"}) for llr in (-3.0, 0.0, 1.0, 2.0)]
    people += [clip("bonafide", 1.0, row={"language": "de"})] * 2
    found = lived.subgroups(people, -2.0)
    assert (found["gender"]["known"], found["gender"]["not_told"]) == (4, 2)
    women = found["gender"]["groups"]["f"]
    assert (women["clips"], women["accused"], women["rate"]) == (4, 1, 0.25)
    assert (women["low"], women["high"]) == (pytest.approx(0.0456, abs=1e-4), pytest.approx(0.6994, abs=1e-4))
    assert found["source rate"]["groups"]["8 kHz"]["accused"] == 1
    assert found["language"]["groups"]["not told"]["clips"] == 4
    assert found["age"] == {"known": 0, "not_told": 6, "groups": {"not told": found["age"]["groups"]["not told"]}}


def test_a_score_on_the_threshold_accuses() -> None:
    assert lived.subgroups([clip("bonafide", -2.0)], -2.0)["gender"]["groups"]["not told"]["accused"] == 1


def test_sources_are_listed_from_twenty_clips_and_the_worst_is_named() -> None:
    people = [clip("bonafide", -9.0, row={"repo": "few"})] * 19
    people += [clip("bonafide", -9.0, row={"repo": "b"})] * 2 + [clip("bonafide", 1.0, row={"repo": "b"})] * 18
    people += [clip("bonafide", 1.0, row={"repo": "a"})] * 30
    found = lived.sources(people, -2.0)
    assert list(found["repo"]) == ["a", "b"]
    named = lived.worst(found["repo"])
    assert named is not None
    assert (named["source"], named["accused"], named["clips"]) == ("b", 2, 20)
    assert lived.worst({}) is None


def test_figures_hold_precision_by_generator_and_cllr_before_calibration() -> None:
    trials = [clip("bonafide", 1.0, raw=log(3)), clip("bonafide", 3.0, raw=log(3))]
    trials += [clip("spoof", llr, raw=log(3), row={"generator": "a"}) for llr in (0.0, 2.0)]
    trials += [clip("spoof", 4.0, raw=log(3), row={"generator": "b"})]
    whole = figures(trials, -2.0)["all"]["whole"]
    assert whole["mean_average_precision"] == pytest.approx((5 / 6 + 1 / 3) / 2)
    assert (whole["chance_precision"], whole["generators"]) == (pytest.approx((1 / 2 + 1 / 3) / 2), 2)
    assert whole["raw_cllr"] == pytest.approx((log2(4 / 3) + log2(4)) / 2)
    assert figures(trials, -2.0)["all"]["1 s"]["raw_cllr"] is None


def test_changers_and_codecs_stand_apart_from_unseen_synthesis() -> None:
    rows = [
        {"generator": "tts"}, {"generator": "old", "seen": "yes"},
        {"generator": "x", "generator_family": "dsp-voice-changer"}, {"generator": "copy-synthesis:codec(x)"},
    ]  # fmt: skip
    found = figures([clip("bonafide", 1.0), *(clip("spoof", 0.0, row=row) for row in rows)], -2.0)
    counts = {name: found[name]["whole"]["spoof"] for name in ("unseen synthesis", "speech changers", "neural codecs")}
    assert counts == {"unseen synthesis": 1, "speech changers": 1, "neural codecs": 1}
    assert found["unseen generators"]["whole"]["spoof"] == 3
