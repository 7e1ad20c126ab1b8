"""Count the changes of the file that no event told of.

Where events have died without an error (network disks, mounts that others write to), the
tick still finds every change, only later. Nothing else would show it, so it is counted.

The tick may find a text some milliseconds before its event arrives. So a change is missed
only if no event came shortly before or after it. Without a watch (mode `poll`) no event is
due and nothing is missed: the mode itself says that.
"""

import time
from collections.abc import Callable

from modeld.desired.watch import Hint, Mode

_BEFORE_SECONDS = 2.0
"""An event may be older than the text that it told of: by settling, by a lock of git's."""
_AFTER_SECONDS = 0.5


class Watching:
    """What the watcher told, and what it should have told. Times since the epoch."""

    def __init__(self, mode: Callable[[], Mode], clock: Callable[[], float] = time.time) -> None:
        self._mode = mode
        self._clock = clock
        self._missed = 0
        self._untold: list[float] = []
        self.last_event: float | None = None
        """When the watcher last told of a change, or of other folders to watch."""
        self.last_look: float | None = None

    @property
    def mode(self) -> Mode:
        """Whether changes are told by events, or only found by the tick."""
        return self._mode()

    @property
    def missed(self) -> int:
        """How many texts no event told of, although events were to be had."""
        self._decide()
        return self._missed

    def heard(self, hint: Hint) -> None:
        """The watcher gave a hint."""
        if hint == "tick":
            return
        self._decide()
        self.last_event = self._clock()
        self._untold.clear()

    def looked(self) -> None:
        """The file was read."""
        self._decide()
        self.last_look = self._clock()

    def found(self) -> None:
        """Another text was found in the file. The first one is no change."""
        self._decide()
        now = self._clock()
        was_told = self.last_event is not None and now - self.last_event <= _BEFORE_SECONDS
        is_first = self.last_look is None
        if not (is_first or was_told or self.mode == "poll"):
            self._untold.append(now)

    def _decide(self) -> None:
        """Give up waiting for the events of texts once they are overdue."""
        now = self._clock()
        while self._untold and now - self._untold[0] >= _AFTER_SECONDS:
            del self._untold[0]
            self._missed += 1
