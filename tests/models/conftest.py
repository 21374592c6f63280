"""Small models gain nothing from a second thread, and lose much when another process wants the core."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
