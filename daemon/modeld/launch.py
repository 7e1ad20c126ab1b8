"""Start a program of ours with the garbage collector at rest while it imports.

What is imported stays until the process ends, and there is hardly any garbage in it. Looking
through it again and again as it grows takes time at every start; the collector never looks
at it later either (ADR 0006).
"""

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Import in here what stays. For one thread, at the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def command(module: str, *arguments: int) -> list[str]:
    """Give the command that runs a module in a process of its own."""
    return [sys.executable, "-P", "-m", "modeld.launch", module, *map(str, arguments)]


def main() -> None:
    """Run as `python -m modeld.launch MODULE ARGUMENTS...`: the `main` of that module."""
    del sys.argv[0]
    with importing():
        program = importlib.import_module(sys.argv[0])
    program.main()


if __name__ == "__main__":
    main()
