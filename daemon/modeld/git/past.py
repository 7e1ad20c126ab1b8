"""Read what commits say: the earlier texts of a file, and the trailers of messages."""

import re
from collections.abc import Iterator

from modeld.git.command import Git
from modeld.git.worktree import text_at

_COMMIT = re.compile(r"[0-9a-f]{40,64}")


def earlier_texts(git: Git, head: str, path: str, limit: int) -> Iterator[tuple[str, bytes]]:
    """Give a file's texts with their commits, the newest first; raises `GitError`."""
    log = git.text(
        *("--literal-pathspecs", "log", f"-n{limit}", "--format=%H", "--no-show-signature"),
        *(head, "--", path),
    )
    for commit in log.split():
        text = text_at(git, commit, path)
        if text is not None:
            yield commit, text


def trailers(git: Git, head: str, key: str, since: str) -> frozenset[str]:
    """Give a trailer's values in the commits after `since`, or in the newest one alone.

    A commit that is unknown, or not an ancestor, is no place to start from.
    """
    is_known = bool(_COMMIT.fullmatch(since)) and _is_ancestor(git, since, head)
    wanted = f"{since}..{head}" if is_known else "-n1"
    format_ = f"--format=%(trailers:key={key},valueonly)"
    text = git.ask("log", wanted, format_, "--no-show-signature", *(() if is_known else (head,)))
    return frozenset(line.strip() for line in (text or "").splitlines() if line.strip())


def _is_ancestor(git: Git, commit: str, head: str) -> bool:
    return git.ask("merge-base", "--is-ancestor", commit, head) is not None
