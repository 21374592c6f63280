"""Files that torch has written, read without running any code in them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

BROKEN = (  # what torch.load raises of a file that is damaged or somebody else's
    ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError,
)  # fmt: skip


def load(path: Path, what: str, device: str = "cpu") -> dict[str, Any]:
    """The table that the file holds, empty where it holds something else. ValueError is a sentence that names the file and
    `what` it is not."""
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):  # torch would take it for a file of its early days, and fail in any way there is
                raise ValueError
        found = torch.load(path, map_location=device, weights_only=True)
    except BROKEN:
        raise ValueError(f"{path} is no {what}: it cannot be read as a torch file of weights") from None
    return found if isinstance(found, dict) else {}
