"""Everything that the metrics show, read at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from modeld.domain import ModelVersion
from modeld.slots import Slots

ROLLBACK_TRIGGERS = ("call", "guard")
EVIDENCE_SIGNALS = ("errors", "latency")
FEEDBACK_OUTCOMES = ("right", "wrong")
SYNC_STATUSES = (
    "Missing", "Invalid", "Frozen", "Held", "Overridden", "Progressing", "OutOfSync", "Synced",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReleaseLabels:
    """Whose predictions are counted at a slot."""

    model: str
    version: str
    runtime: str
    slot: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is shown, read at one moment. Times in seconds, sizes in bytes."""

    slots: tuple[Slots, ...]
    releases: tuple[ReleaseLabels, ...]
    active: Mapping[ModelVersion, bool]
    loaded: int
    load_seconds: Mapping[ModelVersion, float]
    resident: Mapping[str, int]
    reloads: Mapping[str, int]
    last_reload_ok: bool
    last_success: float
    generations: Mapping[str, int]
    sync: str
    is_fallback: bool
    is_admin_open: bool
    worker_restarts: int
    host_restarts: int
    watch_missed: int
    holds: Mapping[str, int]
    rollbacks: Mapping[str, int]
