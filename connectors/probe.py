"""A recording that somebody sends is opened in a process of its own first: `python -m connectors.probe FILE`.

573 bytes can name 85 million samples, for which FFmpeg takes three gigabytes before it looks whether they are there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from connectors.files import open_recording
from engine.errors import AudioError

MOST_MEMORY = 192 << 20  # bytes of data: a recording of twelve hours needs a fifth of that
MOST_S = 10.0
REFUSED = 3  # its exit status, with the sentence on stdout


async def probe(path: Path) -> None:
    """AudioError where a recording cannot be opened, or not within MOST_MEMORY and MOST_S."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connectors.probe", str(path), env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(MOST_S):
            said, _ = await process.communicate()
    except TimeoutError:
        raise AudioError(f"{path} cannot be opened within {MOST_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == REFUSED:
        raise AudioError(said.decode())
    if process.returncode:
        raise AudioError(f"{path} needs more than {MOST_MEMORY >> 20} MB of memory to be opened")


def main(path: str) -> int:
    """Exit status 0 where it can be opened; dies where it takes too much."""
    with suppress(ImportError):  # not on this system
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    try:
        open_recording(Path(path))
    except AudioError as error:
        sys.stdout.buffer.write(str(error).encode("utf-8", "replace"))
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
