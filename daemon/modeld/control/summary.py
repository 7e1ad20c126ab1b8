"""Say in one sentence what serves, what is wanted and why not, and what to do next.

The same two strings stand in the status, in the commands' output, in `/healthz` and in
refusals. Pure: every case can be a row of a test.
"""

import time
from dataclasses import dataclass

from modeld.errors import (
    ArtifactNotReady,
    BytesChanged,
    DigestMismatch,
    HostDied,
    Invalid,
    LfsPointer,
    LoadFailed,
    LoadTimeout,
    ManifestInvalid,
    ModeldError,
    ModelNotFound,
    NewerSchema,
    NotTrusted,
    StateEmpty,
    StateMissing,
    StateUnreadable,
    UnknownFormat,
    VersionNotFound,
)

_DAY_SECONDS = 86_400

_ADVICE: dict[type[ModeldError], str] = {
    StateMissing: "echo 'active: {known}' > {path}",
    StateEmpty: "echo 'active: {known}' > {path}",
    StateUnreadable: "ls -l {path}",
    NewerSchema: "upgrade modeld, or lower schema: in {path}",
    Invalid: "correct {path}, or git revert the commit that changed it",
    LfsPointer: "git lfs pull",
    VersionNotFound: "modeld versions; then correct {path} or add the version",
    ArtifactNotReady: "wait for the files, or go back: modeld rollback",
    ModelNotFound: "modeld versions; then correct {path} or add the model",
    DigestMismatch: "git checkout -- models/{folder}, or correct its digest in {path}",
    BytesChanged: "git checkout -- models/{folder}",
    NotTrusted: "pin its digest in {path}, or set MODELD_TRUST=any",
    ManifestInvalid: "correct models/{folder}/model.yaml",
    UnknownFormat: "ls models/{folder}",
    LoadTimeout: "raise MODELD_LOAD_TIMEOUT, or go back: modeld rollback",
    HostDied: "read the log; or go back: modeld rollback",
    LoadFailed: "correct the model under a new version, or go back: git revert HEAD",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the sentence is made from. Times in seconds since the epoch."""

    sync: str
    live: str | None
    since: float
    wanted: str | None
    path: str
    error: ModeldError | None = None
    retries: bool = False
    is_fallback: bool = False
    down: str = ""
    known: tuple[str, ...] = ()
    folder: str = ""
    """Where the wanted version lies under `models/`."""


def summarise(facts: Facts, now: float) -> str:
    """Write the sentence."""
    return " ".join(filter(None, (_serving(facts, now), _difference(facts))))


def _difference(facts: Facts) -> str:
    if facts.down:
        return f"Its process ended ({facts.down}) and is being started again."
    if facts.sync == "Frozen":
        return f"{facts.path} is frozen: changes of it are not applied."
    if facts.sync == "Progressing":
        return f"Loading {facts.wanted or 'the wish'}."
    return _refusal(facts, facts.error) if facts.error is not None else ""


def _refusal(facts: Facts, error: ModeldError) -> str:
    reason = str(error).rstrip(".")
    if isinstance(error, StateMissing | StateEmpty):
        found = ", ".join(facts.known) or "no versions"
        return f"{reason}; found {found}."
    if isinstance(error, Invalid | StateUnreadable):
        return f"{facts.path} is not applied: {reason}."
    again = " It will be tried again." if facts.retries else ""
    asks = f"asks for {facts.wanted}" if facts.wanted else "is not applied"
    return f"{facts.path} {asks}: {reason}.{again}"


def advise(facts: Facts) -> str:
    """Write the command that helps, or nothing when nothing needs help."""
    if facts.down:
        return "read the log; if it does not recover: modeld rollback"
    if facts.sync == "Frozen":
        return f"remove freeze: from {facts.path}"
    if facts.error is None:
        return ""
    for kind in type(facts.error).__mro__:
        if kind in _ADVICE:
            known = facts.known[0] if facts.known else "v1"
            folder = facts.folder or facts.wanted or "VERSION"
            return _ADVICE[kind].format(known=known, path=facts.path, folder=folder)
    return "read the log"


def _serving(facts: Facts, now: float) -> str:
    if facts.live is None:
        return "Serving nothing."
    text = f"Serving {facts.live} since {_clock(facts.since, now)}."
    if facts.is_fallback:
        return f"{text[:-1]}, the last good version."
    return text


def _clock(at: float, now: float) -> str:
    form = "%H:%M" if now - at < _DAY_SECONDS else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(at))
