"""Hold a repository against an earlier commit of it: what goes live, and what may not change.

The commit is written to a folder of its own and looked at as the work tree is, so that both
are read by the same rules. No model is opened.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modeld.control.verifying import Seen, Verified, verify_files
from modeld.domain import ModelVersion
from modeld.git.checkout import write_tree
from modeld.git.tree import Wanted, read_tree
from modeld.git.worktree import commit_of, find_shared
from modeld.repository.comparison import Comparison, compare


@dataclass(frozen=True, slots=True)
class LiveChange:
    """Another version of a model goes live; `None` where there was or will be none.

    `comparison` is `None` where the files of one of the two cannot be looked at.
    """

    model: str
    before: str | None
    after: str | None
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class Against:
    """What became of the versions since a commit."""

    commit: str
    live: tuple[LiveChange, ...]
    added: tuple[ModelVersion, ...]
    removed: tuple[ModelVersion, ...]
    problems: tuple[str, ...]


def hold_against(name: str, found: Verified, state: Path, models: Path) -> Against:
    """Compare what was found with the commit that a branch, a tag or a hash names.

    Raises `GitError` where there is no such commit, `GitDetached` without a repository.
    """
    tree, path = find_shared(state, models)
    commit = commit_of(tree.git, name)
    wanted = Wanted(PurePosixPath(tree.path), PurePosixPath(path))
    with tempfile.TemporaryDirectory(prefix="modeld-") as folder:
        old = Path(folder)
        write_tree(tree.git, read_tree(tree.git, commit, wanted), old)
        before = verify_files(old / wanted.state, old / wanted.models, "any", allows_pointers=True)
        was, is_now = _by_version(before), _by_version(found)
        return Against(
            commit=commit,
            live=tuple(_live_changes(before, found, was, is_now)),
            added=tuple(version for version in is_now if version not in was),
            removed=tuple(
                version
                for version, seen in was.items()
                if not (models / seen.folder.relative_to(old / wanted.models)).is_dir()
            ),
            problems=tuple(_changed(commit, was, is_now)),
        )


def _by_version(found: Verified) -> dict[ModelVersion, Seen]:
    return {seen.version: seen for seen in found.seen}


def _changed(
    commit: str, old: dict[ModelVersion, Seen], new: dict[ModelVersion, Seen]
) -> Iterator[str]:
    for version, seen in old.items():
        if version in new and seen.digest != new[version].digest:
            yield (
                f"{version}: its files are not those of commit {commit[:12]} "
                f"({seen.digest[:19]} there, {new[version].digest[:19]} here); versions never "
                "change; keep it as a new one, in a folder of its own"
            )


def _live_changes(
    before: Verified,
    after: Verified,
    old: dict[ModelVersion, Seen],
    new: dict[ModelVersion, Seen],
) -> Iterator[LiveChange]:
    was, is_now = _active(before), _active(after)
    for model in dict.fromkeys((*was, *is_now)):
        left, entered = was.get(model), is_now.get(model)
        if left == entered:
            continue
        # What leaves is described as it is now, if it is still there.
        one = _seen(model, left, new) or _seen(model, left, old)
        yield LiveChange(model, left, entered, _compared(one, _seen(model, entered, new)))


def _active(found: Verified) -> dict[str, str]:
    return {each.model: each.active for each in (found.wish.models if found.wish else ())}


def _seen(model: str, version: str | None, among: dict[ModelVersion, Seen]) -> Seen | None:
    return among.get(ModelVersion(model, version)) if version else None


def _compared(before: Seen | None, after: Seen | None) -> Comparison | None:
    if before is None or after is None:
        return None
    return compare(before.described, after.described, before.digest, after.digest)
