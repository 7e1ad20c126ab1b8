"""Decide which loaded versions to let go of.

This module only decides; the reconciler acts. A version that is no longer wanted stays
loaded while it is among the most recently used and not idle for too long, so that a
rollback is a pointer swap and not a load.
"""

from collections.abc import Collection, Mapping

from modeld.domain import ModelVersion


def to_unload(
    wanted: Collection[ModelVersion],
    last_used: Mapping[ModelVersion, float],
    now: float,
    *,
    keep_warm: float,
    max_loaded: int,
) -> tuple[ModelVersion, ...]:
    """Name the versions to unload; `last_used` has all that are loaded, times in seconds.

    A wanted version is never among them. Of the others at most `max_loaded` stay, the
    most recently used ones, and none that was idle for longer than `keep_warm`.
    """
    idle = sorted(
        (version for version in last_used if version not in wanted),
        key=lambda version: last_used[version],
        reverse=True,
    )
    kept = [v for v in idle[:max_loaded] if now - last_used[v] <= keep_warm]
    return tuple(version for version in idle if version not in kept)
