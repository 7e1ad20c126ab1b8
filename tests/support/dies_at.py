"""Run modeld so that its control process kills itself at one step of a change by a call.

`python -m tests.support.dies_at STEP serve …`: STEP is a key of `STEPS`, which names a function
and whether the process dies before it does its work or right after.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

STEPS = {
    "before the hold": ("modeld.control.holds", "Holds.add", False),
    "after the hold": ("modeld.control.holds", "Holds.add", True),
    "after the queue": ("modeld.control.committing", "Committing.plan", True),
    "before the temporary file": ("modeld.desired.replacement", "_write", False),
    "after the temporary file": ("modeld.desired.replacement", "_write", True),
    "after the rename": ("modeld.desired.replacement", "replace_file", True),
    "before the commit of the workers": ("modeld.control.publisher", "Publisher._commit", False),
    "before the history": ("modeld.control.switch", "Switch._write_down", False),
    "before the last good wish": ("modeld.control.ledger", "Ledger.set_last_good", False),
}


def arm(step: str) -> None:
    """Put a deadly function in the place of the named one."""
    module, path, is_after = STEPS[step]
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    setattr(owner, name, _deadly(original, is_after=is_after))


def _deadly(original: Callable[..., Any], *, is_after: bool) -> Callable[..., Any]:
    def dies(*arguments: Any, **options: Any) -> Any:
        armed = os.environ.get("DIES_WHEN", "")
        if armed and os.path.exists(armed):  # noqa: PTH110 - a call of the system and no more
            if is_after:
                original(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    return dies


if __name__ == "__main__":
    arm(sys.argv.pop(1))
    sys.argv[0] = "modeld"
    from modeld.cli import main

    main()
