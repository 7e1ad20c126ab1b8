"""`modeld sync`: have the server look at its source now, or bring the folder to a commit first."""

import sys
from pathlib import Path

import click

from modeld.cli.client import NoServer, call
from modeld.cli.options import fail, json_option, place_options, read_settings, show
from modeld.cli.show import UNREACHABLE, await_blob
from modeld.config import Settings
from modeld.errors import GitDetached, ModeldError
from modeld.git.deploying import REPLACED, Deployed, deploy
from modeld.git.worktree import find_shared

_REFUSED = 1


@click.command()
@place_options
@json_option
@click.argument("commit", required=False)
@click.option("--force", is_flag=True, help="Follow a branch that was rewritten, too.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait for COMMIT.")
def sync(
    config: Path | None,
    as_json: bool,
    commit: str | None,
    force: bool,
    timeout: float,
    **flags: object,
) -> None:
    """Fetch the branch that the server follows, or look at its file, without waiting.

    With COMMIT, a hash or a branch of the remote: bring the folder that the server serves from
    to that commit, models first, and wait until the server has applied it.

    Exit codes: 0 looked, or applied; 1 what is there is not followed, or COMMIT cannot be had;
    2 no server answers; 3 refused by the server, 4 time-out, 5 superseded by a newer text.
    """
    settings = read_settings(config, **flags)
    if commit is not None:
        _deploy(settings, commit, timeout, as_json=as_json)
    try:
        reply = call(settings, "POST", "/admin/sync", {"force": True} if force else {})
    except NoServer as error:
        fail(str(error), UNREACHABLE)
    content = reply.content
    followed = content.get("commit")
    done = f"The commit {followed} is followed." if followed else "The file is looked at."
    show(content, as_json=as_json, text=done if reply.is_ok else f"Refused: {content['error']}")
    sys.exit(0 if reply.is_ok else _REFUSED)


def _deploy(settings: Settings, name: str, timeout: float, *, as_json: bool) -> None:
    try:
        done, blob = _bring(settings, name)
    except (ModeldError, OSError) as error:
        fail(f"{name[:40]} is not deployed: {error}", _REFUSED)
    click.echo(f"The folder is at {done.commit[:12]}.", err=True)
    if done.has_replaced:
        click.echo(f"What was not committed is kept: git stash apply {REPLACED}", err=True)
    await_blob(settings, blob, timeout, as_json=as_json)


def _bring(settings: Settings, name: str) -> tuple[Deployed, str]:
    if settings.source != "file":
        raise GitDetached("this server follows its branch by itself: modeld sync")
    tree, models = find_shared(settings.state_file, settings.models_dir)
    settings.runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = settings.runtime_dir / "deploy.lock"
    done = deploy(tree, name, models, lock)
    blob = tree.blob_at(done.commit)
    if blob is None:
        raise GitDetached(f"{done.commit[:12]} has no {tree.path}; the folder is at that commit")
    return done, blob
