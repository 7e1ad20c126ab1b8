"""Roll back by a commit: what was live before is read from the commits of the state file.

A commit that a rollback made says so in a trailer, with the version that it left. Only the
state file is committed, whatever else is changed or staged in the work tree.
"""

from dataclasses import dataclass

from modeld.control.bringing import ROLLBACK_TRAILER, Change, said_of
from modeld.control.history import ROLLBACK, rollback_target
from modeld.control.ledger import Entry
from modeld.desired.document import parse, set_active
from modeld.errors import GitDetached, ModeldError, StateConflict
from modeld.git.commits import Words, advance_branch, commit_file, push, upstream_of
from modeld.git.past import earlier_texts, trailers
from modeld.git.worktree import WorkTree, text_at

_MOST_COMMITS = 1000


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The commit that was made, and the text that the state file is to have."""

    commit: str
    version: str
    previous: str
    text: bytes


def target_in_git(tree: WorkTree, head: str, model: str) -> str:
    """Name the version that was live before; raises `StateConflict` where a rollback stays."""
    texts = list(earlier_texts(tree.git, head, tree.path, _MOST_COMMITS))
    target = rollback_target(_entries(tree, reversed_texts=texts[::-1], model=model))
    if target.version is not None:
        return target.version
    further = f"; to go further back: --to {target.further}" if target.further else ""
    raise StateConflict(f"git's history has no version to go back to{further}")


def _entries(tree: WorkTree, *, reversed_texts: list[tuple[str, bytes]], model: str) -> list[Entry]:
    """Give the changes of the active version, the oldest first."""
    entries: list[Entry] = []
    for commit, text in reversed_texts:
        version = _active(text, model)
        previous = entries[-1].version if entries else None
        if version is None or version == previous:
            continue
        left = trailers(tree.git, commit, ROLLBACK_TRAILER, "")
        trigger = ROLLBACK if left else "git"
        entries.append(Entry(0, 0.0, model, version, previous, "", trigger, "", "", 0, "", commit))
    return entries


def _active(text: bytes, model: str) -> str | None:
    try:
        wish = parse(text).model(model)
    except ModeldError:
        return None
    return wish.active if wish else None


def commit_rollback(tree: WorkTree, model: str, to: str, reason: str, actor: str) -> RolledBack:
    """Commit the state file with the version `to` active, on the branch that is checked out.

    Raises `GitDetached` without a branch, `StateConflict` where there is nothing to change.
    """
    view = tree.look()
    before = text_at(tree.git, view.head, tree.path) if view.head else None
    if view.head is None or view.branch is None or before is None:
        raise GitDetached("the state file is not committed on a branch that is checked out")
    previous = _active(before, model)
    if previous is None or previous == to:
        raise StateConflict(f"git asks for {previous or 'nothing'} already")
    after = set_active(before.decode(), model, to).encode()
    change = Change(
        0, 0.0, model, to, previous, actor, reason, "", 0, view.head_blob or "", view.head
    )
    words = Words(said_of(change), actor, is_own=False)
    made = commit_file(tree.git, view.head, tree.path, after, words)
    advance_branch(tree, view, made)
    return RolledBack(made, to, previous, after)


def push_rollback(tree: WorkTree, commit: str) -> str:
    """Push to where the branch's commits go; gives that in words. Raises `GitError`."""
    remote = upstream_of(tree, tree.look(), "")
    push(tree.git, remote, commit, by_name=True)
    return f"{remote.name}/{remote.branch}"
