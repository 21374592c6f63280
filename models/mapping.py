"""Train a small network that maps one row of numbers to another: challenges/cepstra.npz comes from here."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SEED = 20261121
HIDDEN = (192, 128)
STEPS, BATCH, RATE = 8000, 1024, 3e-3
Floats = NDArray[np.float32]


def train(inputs: Floats, targets: Floats) -> dict[str, Any]:
    """The arrays of a file for challenges.cepstra: inputs [n, i] to targets [n, o] by least squares."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    input_scale, output_scale = inputs.std(axis=0), targets.std(axis=0)
    sizes = (inputs.shape[1], *HIDDEN, targets.shape[1])
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    x, y = torch.from_numpy(inputs / input_scale), torch.from_numpy(targets / output_scale)
    for step in range(STEPS):
        batch = torch.randint(0, len(x), (BATCH,))
        loss = nn.functional.mse_loss(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step}: {loss.item():.3f} of the variance is left", file=sys.stderr, flush=True)
    arrays: dict[str, Any] = {"input_scale": input_scale, "output_scale": output_scale}
    for number, layer in enumerate(layers):
        arrays[f"matrix{number}"] = layer.weight.detach().numpy().astype(np.float16)
        arrays[f"bias{number}"] = layer.bias.detach().numpy().astype(np.float16)
    return arrays
