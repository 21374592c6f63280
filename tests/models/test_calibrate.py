"""Over which lines the scores that people are tagged by are settled."""

from __future__ import annotations

import numpy as np
import pytest

from models import calibrate, report, selection
from models.calibrate import Recording, Scored
from models.calibration import Calibration
from models.selection import TELEPHONE
from models.transcode import CODINGS, NETWORKS, transcode


def scored(person: bool, llr: float, condition: str = "g711", repo: str = "o/a") -> Scored:
    recording = Recording(np.zeros(0, np.int16), person, "clip", repo, "tts", "g", seen=not person)
    return Scored(recording, condition, llr, 4.0)


def test_people_over_every_network_count_when_the_threshold_is_chosen() -> None:
    """At 1 % of all of them; the codec makes one person in ten look synthetic."""
    telephone = [scored(True, x / 100) for x in range(200)] + [scored(False, -5 - x / 100) for x in range(20)]
    network = [scored(True, -2.0 if x % 10 == 0 else 1.0, "g711+amr5.9") for x in range(200)]
    alone = calibrate.choose_thresholds(telephone, Calibration(1, 0, 0, 1))
    both = calibrate.choose_thresholds(telephone + network, Calibration(1, 0, 0, 1))
    assert alone.deepfake_llr > -0.1
    assert both.deepfake_llr <= -2.0
    found = report.figures([*telephone, *network, scored(False, 0, "g711+amr5.9")] * 5, Calibration(1, 0, 0, 1), alone)
    assert [cell["condition"] for cell in found["cells"]] == ["g711", "g711+amr5.9"]


def test_a_call_through_a_network_is_coded_before_the_trunk() -> None:
    rng = np.random.default_rng(0)
    samples = (3000 * np.sin(np.arange(8000) * 0.3) + 300 * rng.standard_normal(8000)).astype(np.int16)
    for name, coding in NETWORKS.items():
        heard = calibrate.under(name, samples, 0, [])
        assert np.array_equal(heard, calibrate.under(TELEPHONE, transcode(samples, coding), 0, []))
        assert not np.array_equal(heard, calibrate.under(TELEPHONE, samples, 0, []))


def test_lines_that_cannot_be_had_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = [np.ones(8, np.int16)]
    assert selection.conditions_with(noise, calibrate.LINES) == calibrate.LINES
    assert selection.conditions_with([], calibrate.LINES) == tuple(c for c in calibrate.LINES if c != selection.NOISY)
    monkeypatch.setattr(selection, "available", lambda: tuple(c for c in CODINGS if c.codec == "libopus"))
    assert selection.conditions_with(noise, calibrate.LINES) == (*calibrate.CONDITIONS, "g711+opus8")
