"""What a caller asks for who changes what is live, and what is answered."""

import socket
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from modeld.control.history import ROLLBACK
from modeld.domain import DEFAULT_MODEL


@dataclass(frozen=True, slots=True)
class SetActive:
    """What a caller asks for.

    `if_match` is the blob that the file must have; `hold` insists that the version that is
    left is held, or is not, `None` leaves it to the rule.
    `received_at` is seconds since the epoch.
    """

    version: str
    model: str = DEFAULT_MODEL
    reason: str = ""
    actor: str = ""
    expected_version: str | None = None
    if_match: str | None = None
    dry_run: bool = False
    hold: bool | None = None
    trigger: str = "admin"
    request_id: str = ""
    received_at: float = field(default_factory=time.time)

    @property
    def is_rollback(self) -> bool:
        """Whether it goes back to what was live before."""
        return self.trigger == ROLLBACK


@dataclass(frozen=True, slots=True)
class Changed:
    """What a call changed. `further_back` says where an unchanged rollback could still go."""

    model: str
    previous: str | None
    active: str
    generation: int
    blob: str | None
    digest: str
    written: bool
    unchanged: bool = False
    dry_run: bool = False
    further_back: str | None = None
    message: str = ""
    why_not_written: str = ""
    hold: dict[str, Any] | None = None
    git: dict[str, Any] | None = None
    instance: str = ""
    scope: str = "instance"

    def document(self) -> dict[str, Any]:
        """Give it as the answer's body."""
        content = asdict(self) | {"instance": socket.gethostname()}
        for name in ("dry_run", "further_back", "message", "why_not_written"):
            if not content[name]:
                del content[name]
        return content
