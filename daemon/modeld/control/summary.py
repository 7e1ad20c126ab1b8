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
    EnvironmentNotBuilt,
    GitDetached,
    GitDiverged,
    GitError,
    GitUnavailable,
    GitUnverified,
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
    VersionHeld,
    VersionNotFound,
)

_DAY_SECONDS = 86_400

_ADVICE: dict[type[ModeldError], str] = {
    StateMissing: "echo 'active: {known}' > {path}",
    StateEmpty: "echo 'active: {known}' > {path}",
    StateUnreadable: "ls -l {path}",
    NewerSchema: "upgrade modeld, or lower schema: in {path}",
    Invalid: "correct {path}, or git revert the commit that changed it",
    EnvironmentNotBuilt: "modeld env build",
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
    GitUnavailable: "git ls-remote, from this machine; it is tried again",
    GitDiverged: "put the branch back, or follow it: modeld sync --force",
    GitDetached: "create the branch, or correct MODELD_GIT_BRANCH",
    GitUnverified: "sign the commit, or add its key to the file of MODELD_GIT_SIGNERS",
    GitError: "read the log",
    LoadFailed: "correct the model under a new version, or go back: git revert HEAD",
}


_WORD_ADVICE = {
    "Frozen": "remove freeze: from {path}",
    "Held": "{held}",
    "Overridden": "let git say the same, or let the file decide: modeld unhold VERSION",
}
_GIT_ADVICE = {
    "Uncommitted": "git commit -m 'Say why' -- {path}",
    "PendingPush": "wait, or look at the remote: git fetch",
    "PendingCommit": "wait, or end the git command that is at work",
    "Conflict": "git fetch, and merge the emergency branch or commit another wish",
    "GitDetached": "git switch BRANCH, or set MODELD_GIT_BRANCH",
    "GitConflict": "git fetch, and commit the wish by hand",
    "GitError": "read the log, and commit the wish by hand",
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
    reason: str = ""
    fallback: str = ""
    """Where what serves comes from, when it is not what is wished for."""
    held: str = ""
    """The command that releases the held version that is asked for."""
    git: str = ""
    """Why git has not taken a change yet."""
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
    if facts.sync == "Overridden":
        return f"{facts.path} asks for something else and could not be written."
    if facts.sync == "OutOfSync" and facts.error is None:
        return _git_lacks(facts)
    if facts.sync == "Progressing":
        return f"Loading {facts.wanted or 'the wish'}."
    return _refusal(facts, facts.error) if facts.error is not None else ""


def _git_lacks(facts: Facts) -> str:
    """Say how the file and git differ."""
    if facts.reason == "Uncommitted":
        return f"{facts.path} is not committed."
    why = f": {facts.git.rstrip('.')}" if facts.git else ""
    if facts.reason.startswith("Pending"):
        return f"The change is being brought into git{why}."
    return f"Git did not take the change{why}."


def _refusal(facts: Facts, error: ModeldError) -> str:
    reason = str(error).rstrip(".")
    if isinstance(error, StateMissing | StateEmpty):
        found = ", ".join(facts.known) or "no versions"
        return f"{reason}; found {found}."
    if isinstance(error, Invalid | StateUnreadable):
        end = "" if reason.endswith("?") else "."
        return f"{facts.path} is not applied: {reason}{end}"
    if isinstance(error, GitError):
        return f"The remote is not followed: {reason}."
    if isinstance(error, VersionHeld):
        name, _, why = reason.partition(" was ")
        return f"{facts.path} asks for {name}, which was {why}."
    again = " It will be tried again." if facts.retries else ""
    asks = f"asks for {facts.wanted}" if facts.wanted else "is not applied"
    return f"{facts.path} {asks}: {reason}.{again}"


def advise(facts: Facts) -> str:
    """Write the command that helps, or nothing when nothing needs help."""
    if facts.down:
        return "read the log; if it does not recover: modeld rollback"
    if facts.sync in _WORD_ADVICE or facts.error is None:
        advice = _WORD_ADVICE.get(facts.sync) or _GIT_ADVICE.get(facts.reason, "")
        return advice.format(path=facts.path, held=facts.held)
    for kind in type(facts.error).__mro__:
        if kind in _ADVICE:
            known = facts.known[0] if facts.known else "v1"
            folder = facts.folder or facts.wanted or "VERSION"
            return _ADVICE[kind].format(known=known, path=facts.path, folder=folder)
    return "read the log"


def _serving(facts: Facts, now: float) -> str:
    if facts.live is None:
        return "Serving nothing."
    # For a moment it serves and is not yet written down.
    since = f" since {_clock(facts.since, now)}" if facts.since else ""
    text = f"Serving {facts.live}{since}."
    if facts.fallback:
        return f"{text[:-1]}, {facts.fallback}."
    return text


def _clock(at: float, now: float) -> str:
    form = "%H:%M" if now - at < _DAY_SECONDS else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(at))
