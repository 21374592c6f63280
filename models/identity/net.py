"""The student: int16 at 8 kHz to a unit vector that names the voice. One graph from samples, so serving needs no DSP.

It begins as the voice encoder of Resemblyzer (Apache-2.0; after Wan et al., Generalized End-to-End Loss, 2018), whose
front is rewritten for 8 kHz: below 4 kHz its mel bands are the same, above they stay empty, as on a telephone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

RATE, WINDOW, HOP, BANDS = 8000, 200, 80, 40
HIDDEN = 256
LEVEL = 10 ** (-30 / 20)  # RMS every stretch is brought to, full scale = 1
SIZE = 160


class Mel(nn.Module):
    """[B, n] int16 or float in int16 terms -> [B, frames, 40]: mel energies of 25 ms, every 10 ms, level evened out."""

    basis: Tensor
    bank: Tensor

    def __init__(self) -> None:
        super().__init__()
        n = torch.arange(WINDOW, dtype=torch.float64)
        window = 0.5 - 0.5 * torch.cos(2 * torch.pi * n / WINDOW)
        angle = 2 * torch.pi * torch.arange(WINDOW // 2 + 1)[:, None] * n / WINDOW
        self.register_buffer("basis", (torch.cat([torch.cos(angle), torch.sin(angle)]) * window).float()[:, None])
        # A window of as many ms at 16 kHz has twice the samples, so four times the energy.
        self.register_buffer("bank", torch.from_numpy(4 * mel_bank()))

    def forward(self, audio: Tensor) -> Tensor:
        signal = audio.float() / 32768
        signal = signal * (LEVEL / (signal * signal).mean(-1, keepdim=True).clamp(min=1e-9).sqrt())
        edge = WINDOW // 2
        signal = F.pad(signal[:, None], (edge, edge), mode="reflect")
        real, imaginary = F.conv1d(signal, self.basis, stride=HOP).chunk(2, dim=1)
        return torch.matmul(self.bank, real * real + imaginary * imaginary).transpose(1, 2)


def mel_bank() -> NDArray[np.float32]:
    """Slaney's 40 triangles of equal area from 0 to 8 kHz, as far as 8 kHz audio fills them: [40, 101]."""

    def mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1) / 1000) * 27 / np.log(6.4))

    def hertz(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(of < 15, of * 200 / 3, 1000 * np.exp((of - 15) * np.log(6.4) / 27))

    edges = hertz(np.linspace(0.0, float(mel(np.array(8000.0))), BANDS + 2))[:, None]
    hz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    rise, fall = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    bank: NDArray[np.float32] = (np.maximum(0, np.minimum(rise, fall)) * 2 / (edges[2:] - edges[:-2])).astype(np.float32)
    return bank


class VoiceNet(nn.Module):
    """[B, n] samples -> [B, SIZE] of unit length; made for windows of 1.6 s, many of which make a voice (embed.py)."""

    def __init__(self, size: int = SIZE, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.features = Mel()
        self.lstm = nn.LSTM(BANDS, hidden, 3, batch_first=True)
        self.linear = nn.Linear(hidden, hidden)
        self.vector = nn.Linear(hidden, size)

    def forward(self, audio: Tensor) -> Tensor:
        return F.normalize(self.vector(self.encoded(self.features(audio))), dim=-1)

    def encoded(self, mel: Tensor) -> Tensor:
        """[B, frames, 40] -> [B, hidden]: what is known after the last frame, of unit length."""
        last = self.lstm(mel)[0][:, -1].float()
        return F.normalize(F.relu(self.linear(last)), dim=-1)


def pretrained(folder: Path, size: int = SIZE) -> VoiceNet:
    """Resemblyzer's encoder from an unpacked wheel (`pip download resemblyzer --no-deps`); `vector` is random yet."""
    path = folder / "resemblyzer" / "pretrained.pt"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not an unpacked Resemblyzer wheel: {path} is missing")
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    net = VoiceNet(size)
    net.load_state_dict({key: value for key, value in state.items() if key.split(".")[0] in ("lstm", "linear")}, strict=False)
    return net


@torch.no_grad()
def as_published(folder: Path) -> VoiceNet:
    """Resemblyzer's encoder with a `vector` layer that changes nothing."""
    net = pretrained(folder, HIDDEN)
    net.vector.weight.copy_(torch.eye(HIDDEN))
    net.vector.bias.zero_()
    return net


@torch.no_grad()
def aim(net: VoiceNet, encoded: Tensor, targets: Tensor, ridge: float = 0.3) -> None:
    """Point `vector` at the targets: least squares from what the encoder says of some clips, both [n, d]."""
    centre = encoded.mean(0)
    moved = encoded - centre
    square = moved.T @ moved + ridge * torch.eye(moved.shape[1])
    weight = torch.linalg.solve(square, moved.T @ targets)
    net.vector.weight.copy_(weight.T)
    net.vector.bias.copy_(-centre @ weight)
