"""`modeld rollback --git`: go back by a commit, where deploys are commits; needs no server."""

import sys
from pathlib import Path

from modeld.cli.options import fail, show
from modeld.config import Settings
from modeld.control.rolling_back import (
    RolledBack,
    commit_rollback,
    push_rollback,
    target_in_git,
)
from modeld.desired.document import parse
from modeld.desired.file import StateFile
from modeld.domain import ModelVersion
from modeld.errors import GitDetached, ModeldError, StateConflict
from modeld.git.worktree import WorkTree, find_work_tree
from modeld.repository.versions import Repository

_REFUSED = 1


def roll_back_in_git(
    settings: Settings, content: dict[str, str], *, pushes: bool, as_json: bool
) -> None:
    """Commit the rollback, change the file, push if asked; ends the command."""
    try:
        tree = find_work_tree(settings.state_file)
        if tree is None:
            raise GitDetached(f"{settings.state_file} is in no git repository")
        done = _roll_back(settings, tree, content)
    except (ModeldError, OSError) as error:
        fail(f"refused, nothing changed: {error}", _REFUSED)
    where = ""
    if pushes:
        try:
            where = push_rollback(tree, done.commit)
        except ModeldError as error:
            fail(f"{done.commit[:12]} is committed here, but not pushed: {error}", _REFUSED)
    text = f"Rolled back {done.previous} to {done.version} in commit {done.commit[:12]}"
    text += f", pushed to {where}." if where else "; to deploy it: git push"
    document = {"active": done.version, "previous": done.previous, "commit": done.commit}
    show(document | {"pushed": bool(where)}, as_json=as_json, text=text)
    sys.exit(0)


def _roll_back(settings: Settings, tree: WorkTree, content: dict[str, str]) -> RolledBack:
    model = content["model"]
    view = tree.look()
    document = _file(settings).read()
    if document.blob != view.head_blob:
        raise StateConflict(f"{tree.path} has changes that are not committed; commit them first")
    to = content.get("to") or target_in_git(tree, view.head or "", model)
    named = tuple(wish.model for wish in parse(document.data).models)
    Repository(settings.models_dir).folder(ModelVersion(model, to), named)
    done = commit_rollback(tree, model, to, content["reason"], content["actor"])
    _file(settings).write(done.text.decode(), expected=document.blob)
    return done


def _file(settings: Settings) -> StateFile:
    folder: Path = settings.runtime_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return StateFile(settings.state_file, folder / "state.lock")
