"""Voice identity: what counts as speech, who is compared with whom, the graph that serves, and what a cosine is worth."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from models.corpus import Clip
from models.identity.embed import DEFAULT_WEIGHTS, MOST_WINDOWS, RATE, STEP, WINDOW, VoiceEmbedder, Worth, net_speech, windows
from models.identity.net import VoiceNet, mel_bank
from models.identity.ship import line, ship
from models.identity.space import fit
from models.identity.trials import PAIRS_PER_PERSON, Side, figures, pairs, person, sides

Samples = np.ndarray
WORTH = {"seconds": [1.5, 3.0], "slope": [10.0, 20.0], "offset": [-2.0, -6.0], "limit": 4.0}


def voice(pitch_hz: float, formants: tuple[float, ...], seconds: float, seed: int = 0) -> Samples:
    """A synthetic vowel: pulses with a drifting pitch through resonances."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    pitch = pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 2.3 * np.arange(n) / RATE + rng.uniform(0, 6)))
    source = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0) + 0.01 * rng.standard_normal(n)
    spectrum, hz = np.fft.rfft(source), np.fft.rfftfreq(n, 1 / RATE)
    shape = sum(1 / (1 + ((hz - formant) / 80) ** 2) for formant in formants)
    out = np.fft.irfft(spectrum * shape, n)
    return (out / np.abs(out).max() * 12000).astype(np.int16)


@pytest.fixture(scope="module")
def shipped() -> VoiceEmbedder:
    return VoiceEmbedder()


def test_pauses_and_lost_packets_are_no_speech() -> None:
    speech = voice(120, (500, 1500, 2500), 1.0)
    silence = np.zeros(RATE, np.int16)
    hiss = (np.random.default_rng(0).standard_normal(RATE) * 8).astype(np.int16)
    for pause in (silence, hiss):
        kept = net_speech(np.concatenate([pause, speech, pause]))
        assert RATE <= len(kept) <= RATE + 2 * 4 * 160  # 60 ms kept on either side, and the block cut in two


def test_packets_lost_within_speech_are_cut_out() -> None:
    speech = voice(120, (500, 1500, 2500), 2.0).reshape(-1, 160)
    kept = len(net_speech(speech.ravel()))
    speech[5::10] = 0
    assert len(net_speech(speech.ravel())) == pytest.approx(0.9 * kept, abs=2 * 160)
    assert np.abs(net_speech(speech.ravel())).reshape(-1, 160).max(axis=1).all()


def test_silence_and_next_to_nothing_are_no_speech() -> None:
    assert len(net_speech(np.zeros(RATE, np.int16))) == 0
    assert len(net_speech(np.zeros(100, np.int16))) == 0
    assert len(net_speech(np.ones(0, np.int16))) == 0


def test_less_than_a_second_and_a_half_of_speech_cannot_tell(shipped: VoiceEmbedder) -> None:
    short = np.concatenate([voice(120, (500, 1500), 1.2), np.zeros(3 * RATE, np.int16)])
    assert shipped.embed(short) is None
    assert shipped.llr_same(shipped.embed(short), shipped.embed(voice(120, (500, 1500), 3))) is None
    found = shipped.voice(voice(120, (500, 1500), 1.6))
    assert found is not None
    assert found.speech_s == pytest.approx(1.6)


def test_a_voice_is_a_unit_vector_and_does_not_depend_on_level_or_pauses(shipped: VoiceEmbedder) -> None:
    speech = voice(120, (500, 1500, 2500), 3.0)
    whole = shipped.embed(speech)
    assert whole is not None
    assert whole.dtype == np.float32
    assert np.linalg.norm(whole) == pytest.approx(1, abs=1e-5)
    soft = shipped.embed((speech // 4).astype(np.int16))
    assert soft is not None
    assert shipped.similarity(whole, soft) > 0.98


def test_a_voice_is_nearer_to_itself_than_to_another(shipped: VoiceEmbedder) -> None:
    low, again = (shipped.embed(voice(100, (450, 1400, 2300), 3.0, seed)) for seed in (1, 2))
    high = shipped.embed(voice(230, (650, 1900, 3000), 3.0, 3))
    assert low is not None
    assert again is not None
    assert high is not None
    assert shipped.similarity(low, again) > shipped.similarity(low, high) + 0.2
    same, other = shipped.llr_same(low, again), shipped.llr_same(low, high)
    assert same is not None
    assert other is not None
    assert same > other


def test_a_judgement_of_three_and_three_seconds_is_cheap(shipped: VoiceEmbedder) -> None:
    speech = voice(120, (500, 1500, 2500), 3.0)
    spent = []
    for _ in range(6):
        began = time.thread_time()
        shipped.embed(speech)
        spent.append(time.thread_time() - began)
    assert 1e-3 < 2 * min(spent) < 0.1  # on a busy machine one of them at least is left alone


def test_what_ships_is_small_and_names_where_it_comes_from() -> None:
    assert DEFAULT_WEIGHTS.stat().st_size < 6_000_000
    info = json.loads(DEFAULT_WEIGHTS.with_suffix(".json").read_text())
    assert "Apache-2.0" in info["provenance"]["encoder"]
    assert info["figures"]["eval"]["3"]["eer"] < 0.5


def test_longer_speech_makes_a_cosine_worth_more_and_nothing_is_worth_all() -> None:
    worth = Worth.of(WORTH)
    assert worth.llr(0.3, 1.5) == pytest.approx(1.0)
    assert worth.llr(0.3, 2.25) == pytest.approx(0.5)  # between: slope 15, offset -4
    assert worth.llr(0.3, 60) == pytest.approx(0.0)
    assert (worth.llr(1.0, 3), worth.llr(-1.0, 3)) == (4.0, -4.0)


def test_weights_without_their_json_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "voice.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"voice\.onnx is not a voice model"):
        VoiceEmbedder(tmp_path / "voice.onnx")
    (tmp_path / "voice.json").write_text(json.dumps({"version": "x", "worth": WORTH}))
    with pytest.raises(ValueError, match=r"voice\.onnx is not a voice model"):
        VoiceEmbedder(tmp_path / "voice.onnx")


def test_the_graph_equals_torch_at_any_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = VoiceNet(size=16, hidden=32).eval()
    assert ship(net, tmp_path / "voice.onnx", {"version": "test", "worth": WORTH}) < 2e-3
    assert VoiceEmbedder(tmp_path / "voice.onnx").version == "test"


def test_the_bands_of_a_telephone_are_filled_and_the_others_empty() -> None:
    energy = mel_bank().sum(axis=1)
    assert (energy[:28] > 0).all()
    assert (energy[32:] == 0).all()


@pytest.mark.parametrize(
    ("label", "who"),
    [
        ("emodb:emodb-08", "emodb:emodb-08"),
        ("", ""),
        ("unk@a/bc/d", ""),
        ("unknownMycroftAI/Precise", ""),
        ("DAPS", ""),
        ("VCTK-p225", "VCTK-p225"),
        ("kal-7", ""),
        ("kal-chp", "kal-chp"),
        ("librispeech-resemblyzer:ls-3080", "Libri-3080"),
        ("Libri-3080", "Libri-3080"),
    ],
)
def test_a_label_names_one_person_or_nobody(label: str, who: str) -> None:
    assert person(label) == who


def clip(name: str, speaker: str = "a", repo: str = "r", label: str = "bonafide") -> Clip:
    return Clip(Path(name), label, speaker=speaker, repo=repo, orig_path=f"there/{name}")


def test_sides_join_clips_of_one_person_in_one_place_and_use_none_twice() -> None:
    clips = [clip("1"), clip("2"), clip("3", repo="s"), clip("4"), clip("5"), clip("6", speaker="unknown")]
    clips += [clip("7", label="spoof")]
    made = sides(clips, lambda c: voice(120, (500, 1500), 1.0, int(c.path.name)), 2.0)
    assert [sorted(side.recordings) for side in made] == [["r/there/1", "r/there/2"], ["r/there/4", "r/there/5"]]
    assert {len(side.samples) for side in made} == {2 * RATE}


def test_a_file_under_two_names_is_heard_once() -> None:
    assert len(sides([clip("1"), clip("2")], lambda _: voice(120, (500,), 1.0), 1.0)) == 1


def side(speaker: str, repo: str, *names: str) -> Side:
    return Side(speaker, repo, frozenset(names), np.zeros(8, np.int16))


def test_an_utterance_told_twice_is_no_pair() -> None:
    made = pairs([side("a", "r", "r/prompt/x.wav"), side("a", "s", "s/truth/x.mp3"), side("b", "s", "s/truth/x2.mp3")])
    assert made.same.tolist() == [False, False]
    assert made.same_repo.tolist() == [False, True]


def test_nobody_brings_more_than_twenty_pairs() -> None:
    made = pairs([side("a", "r", f"r/{i}.wav") for i in range(10)] + [side("b", "r", f"r/b{i}.wav") for i in range(2)])
    assert made.same.sum() == 46
    assert made.capped.sum() == PAIRS_PER_PERSON + 1


def test_figures_tell_neighbours_from_strangers() -> None:
    made = pairs([side("a", "r", "1"), side("a", "r", "2"), side("b", "r", "3"), side("c", "s", "4")])
    scores = np.where(made.same, 0.5, np.where(made.same_repo, 0.6, 0.1))
    found = figures(scores, made)
    assert found["other_same_repository"] == 2
    assert found["eer_same_repository"] == 1.0
    assert found["eer"] < 0.5


def test_a_space_brings_one_person_s_vectors_together() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat([f"p{i}" for i in range(40)], 5)
    vectors = np.repeat(rng.standard_normal((40, 8)), 5, axis=0)
    vectors[:, :4] += rng.standard_normal((200, 4)) * 3  # four directions tell nothing
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def gap(of: np.ndarray) -> float:
        own = people[:, None] == people
        return float((of @ of.T)[own].mean() - (of @ of.T)[~own].mean())

    assert gap(fit(vectors, people, 4, shrink=0.1)(vectors)) > gap(vectors) + 0.2


def test_a_line_is_the_log_likelihood_ratio_of_two_bells() -> None:
    rng = np.random.default_rng(0)
    slope, offset = line(rng.normal(1, 1, 20000), rng.normal(-1, 1, 20000))  # true: 2 x + 0
    assert slope == pytest.approx(2, abs=0.1)
    assert offset == pytest.approx(0, abs=0.1)


def test_long_speech_is_looked_at_in_a_few_windows_from_end_to_end() -> None:
    short, long = np.arange(WINDOW + 2 * STEP, dtype=np.int16), np.arange(30000, dtype=np.int16)
    assert [int(row[0]) for row in windows(short)] == [0, STEP, 2 * STEP]
    many = windows(np.resize(long, 10 * RATE))
    assert many.shape == (MOST_WINDOWS, WINDOW)
    starts = [int(row[0]) for row in windows(long)]
    assert starts[-1] == len(long) - WINDOW, "the end is heard"
    assert windows(short[:500]).shape == (1, WINDOW)
