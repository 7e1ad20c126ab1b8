"""Gather what surrounds the text of the wish: what holds it back, what stands in for it, git."""

from dataclasses import dataclass
from typing import Any

from modeld.control.committing import Committing
from modeld.control.holds import Holds
from modeld.control.overlay import Overlay
from modeld.control.progress import Applied
from modeld.control.times import iso
from modeld.control.tracking import Tracking
from modeld.desired.document import DesiredState
from modeld.domain import ModelVersion

Document = dict[str, Any]

_NOT_TAKEN = ("Conflict", "GitDetached", "GitConflict", "GitError")


@dataclass(frozen=True, slots=True)
class WishFacts:
    """Everybody who knows something of it. `path` is the state file's."""

    path: str
    source: str
    overlay: Overlay
    holds: Holds
    tracking: Tracking
    committing: Committing

    def not_in_git(self, applied: Applied | None) -> str:
        """Say why git does not have what serves; empty where it does, or git has no say."""
        tracked, committing = self.tracking.known, self.committing
        if tracked is None or tracked.view.head_blob is None or applied is None:
            return ""
        blob = applied.wish.blob
        if blob == tracked.view.head_blob or committing.has(blob):
            return ""
        if committing.pending:
            return committing.outcome.state
        if committing.outcome.state in _NOT_TAKEN:
            return committing.outcome.state
        return "Uncommitted"

    def held(self, desired: DesiredState | None) -> str:
        """Give the command that releases the held version that the wish asks for."""
        wishes = desired.models if desired else ()
        found = (self.holds.find(ModelVersion(wish.model, wish.active)) for wish in wishes)
        return next((hold.release for hold in found if hold), "")

    def override_document(self) -> Document | None:
        """Write down the override."""
        override = self.overlay.override
        if override is None:
            return None
        beneath = self.overlay.beneath()
        return {
            "why": override.why,
            "since": iso(override.at),
            "file_asks_for": {wish.model: wish.active for wish in beneath.models}
            if beneath
            else {},
        }

    def git_document(self) -> Document:
        """Write down what git knows, and what it does not know yet."""
        tracked = self.tracking.refresh()
        committing = self.committing.document()
        if committing["retry_at"] is not None:
            committing["retry_at"] = iso(committing["retry_at"])
        if tracked is None:
            return {"head": None, "branch": None, "head_blob": None, "changes": committing}
        view = tracked.view
        return {
            "head": view.head,
            "branch": view.branch,
            "head_blob": view.head_blob,
            "changes": committing,
        }
