"""What a program that is run by `python -m` says where an extra that it needs is not installed."""

from __future__ import annotations

import importlib.util
import sys


def need(extras: str, *packages: str) -> None:
    """Ends the program with one sentence and status 2, as `vivavoce` does, where one of `packages` is missing.

    To be called before the imports that would fail, and only where a module is the program: `if __name__ == "__main__"`.
    """
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        spec = sys.modules["__main__"].__spec__
        program = spec.name if spec is not None else sys.argv[0]
        print(f"{program} needs {', '.join(missing)}: install with pip install 'vivavoce[{extras}]'", file=sys.stderr)
        sys.exit(2)
