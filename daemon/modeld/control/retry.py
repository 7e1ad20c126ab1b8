"""Decide when a wish that could not be applied is tried again.

Files that are missing may still arrive, a host that died may have met a bad moment; a
text that breaks a rule or a model that does not open stays refused until it changes.
"""

from modeld.errors import (
    ArtifactNotReady,
    BusyError,
    HostDied,
    LoadTimeout,
    ModeldError,
    ModelNotFound,
    VersionNotFound,
)

_ARRIVING = ArtifactNotReady | VersionNotFound | ModelNotFound
_PROGRESS_DEADLINE = 600.0
_NOT_READY_PAUSES = (1.0,) * 30 + (5.0,) * 12 + (30.0,)
_LOAD_PAUSES = (5.0, 30.0, 120.0)
_BUSY_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


def is_on_its_way(error: ModeldError, waited: float) -> bool:
    """Tell whether files that are asked for may still arrive, `waited` seconds after the text."""
    return isinstance(error, _ARRIVING) and waited < _PROGRESS_DEADLINE


def retry_pause(error: ModeldError, failures: int) -> float | None:
    """Say how long to wait before the next try; `None` when only another text helps."""
    if isinstance(error, _ARRIVING):
        pauses: tuple[float, ...] = _NOT_READY_PAUSES
    elif isinstance(error, BusyError):
        pauses = _BUSY_PAUSES
    elif isinstance(error, HostDied | LoadTimeout):
        return _LOAD_PAUSES[failures] if failures < len(_LOAD_PAUSES) else None
    else:
        return None
    return pauses[min(failures, len(pauses) - 1)]
