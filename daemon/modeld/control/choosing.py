"""Choose the version that a command without a server is about: named, wished for, or live then."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from modeld.config import Settings
from modeld.control.ledger import Entry, Ledger
from modeld.control.timeline import MOST_COMMITS, MOST_ENTRIES, timeline
from modeld.desired.document import DesiredState, parse
from modeld.domain import ModelVersion
from modeld.errors import ModelNotFound, StateMissing, VersionError
from modeld.git.log import log_of

_GIT_SECONDS = 30.0


class Wanted(NamedTuple):
    """A version, and the digest that its files must have where that is known.

    `why` ends the sentence "it has other bytes than …", and `told` says for a person how the
    version was chosen.
    """

    version: ModelVersion
    digest: str | None = None
    why: str = ""
    told: str = ""


def wished_version(state: Path, model: str) -> Wanted:
    """Give the version that the state file names; raises a `WishError` or `ModelNotFound`."""
    wish = _read(state).model(model)
    if wish is None:
        raise ModelNotFound(f"{state} names no version of the model {model}: say --version")
    version = ModelVersion(model, wish.active)
    told = f"{version}, which {state} names"
    return Wanted(version, wish.pin_of(wish.active), f"{state} pins", told)


def _read(state: Path) -> DesiredState:
    try:
        return parse(state.read_bytes())
    except FileNotFoundError:
        raise StateMissing(f"{state} is missing: say --version") from None


def version_live_at(settings: Settings, model: str, at: float) -> Wanted:
    """Give the version that was live at a moment, in seconds since the epoch.

    The history says which, and under which digest; git says why where the history does not.
    Raises `VersionError` where nothing was.
    """
    path = settings.runtime_dir / "modeld.sqlite"
    said = _said(at)
    if at > time.time():
        raise VersionError(f"{said} has not come yet")
    if not path.exists():
        raise VersionError(f"there is no history in {path.parent}: no server has run here")
    with closing(Ledger(path, is_read_only=True)) as ledger:
        entry = ledger.live_at(model, at)
        if entry is None:
            raise VersionError(f"no version of the model {model} was live at {said}")
        entries = ledger.attempts(MOST_ENTRIES)
    version = ModelVersion(model, entry.version)
    told = (
        f"{version}, live at {said}: since {_said(entry.at)}, by {_cause(settings, entry, entries)}"
    )
    return Wanted(version, entry.digest, f"were live at {said}", told)


def _cause(settings: Settings, entry: Entry, entries: Sequence[Entry]) -> str:
    """Say who made it live, and why. `entries` are the history's newest, oldest first."""
    commits = log_of(settings.state_file).commits(MOST_COMMITS, seconds=_GIT_SECONDS)
    # With the others, so that none of their commits is taken for its own.
    events = timeline(entries if entry in entries else (entry,), commits, entry.model)
    commit = next(event.commit for event in events if event.entry == entry)
    cause = f"commit {commit.id[:12]}" if commit else entry.trigger or "a change of the file"
    who = entry.actor or (commit.author.partition(" <")[0] if commit else "")
    why = entry.reason or (commit.subject if commit else "")
    return f"{cause}{f' of {who}' if who else ''}{f' ({why})' if why else ''}"


def _said(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
