"""`modeld set` and `rollback`: change what is live.

With a running server the version is proven before anything changes. Without one the
state file is edited, and the next start applies it; the output says which it was.
"""

import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from modeld.cli.client import NoServer, call
from modeld.cli.options import (
    fail,
    json_option,
    place_options,
    read_settings,
    show,
    user_name,
)
from modeld.cli.rollback_git import roll_back_in_git
from modeld.config import Settings
from modeld.control.history import ROLLBACK, rollback_target, why_stays
from modeld.control.holds import Hold, Holds
from modeld.control.ledger import Entry, Ledger
from modeld.desired.document import ModelWish, blob_id, parse
from modeld.desired.document import set_active as set_active_in
from modeld.desired.file import StateFile
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import ModeldError, StateConflict, StateEmpty, StateMissing
from modeld.repository.versions import Repository

_REFUSED = 1


@click.command("set")
@place_options
@json_option
@click.argument("version")
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
@click.option("--reason", default="", help="Why; kept in the history.")
@click.option("--actor", default=user_name, help="Who; kept in the history (you by default).")
@click.option("--expect", help="Refuse unless this version is live.")
@click.option("--dry-run", is_flag=True, help="Load and prove the version, change nothing.")
def set_active(
    config: Path | None,
    as_json: bool,
    version: str,
    model: str,
    reason: str,
    actor: str,
    expect: str | None,
    dry_run: bool,
    **flags: object,
) -> None:
    """Make VERSION the live one.

    Exit codes: 0 done, 1 refused (nothing changed).
    """
    settings = read_settings(config, **flags)
    content: dict[str, Any] = {"version": version, "model": model, "dry_run": dry_run}
    content |= {"reason": reason, "actor": actor}
    if expect is not None:
        content["expected_version"] = expect
    _change(settings, "/admin/set-active-version", content, as_json=as_json)


@click.command()
@place_options
@json_option
@click.option("--to", help="Go to this version instead of the one that was live before.")
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
@click.option("--reason", default="", help="Why; kept in the history.")
@click.option("--actor", default=user_name, help="Who; kept in the history (you by default).")
@click.option("--git", "in_git", is_flag=True, help="Commit it; no server is asked.")
@click.option("--push", "pushes", is_flag=True, help="With --git: push the commit.")
def rollback(
    config: Path | None,
    as_json: bool,
    to: str | None,
    model: str,
    reason: str,
    actor: str,
    in_git: bool,
    pushes: bool,
    **flags: object,
) -> None:
    """Go back to the version that was live before.

    Pressed again it stays where it is, and says what would go further back. Exit
    codes: 0 done, 1 refused, or nothing to go back to (nothing changed).
    """
    settings = read_settings(config, **flags)
    content: dict[str, Any] = {"model": model, "reason": reason, "actor": actor}
    if to is not None:
        content["to"] = to
    if pushes and not in_git:
        raise click.UsageError("--push needs --git")
    if in_git:
        roll_back_in_git(settings, content, pushes=pushes, as_json=as_json)
    _change(settings, "/admin/rollback", content, as_json=as_json)


def _change(settings: Settings, path: str, content: dict[str, Any], *, as_json: bool) -> None:
    try:
        reply = call(settings, "POST", path, content)
    except NoServer:
        _edit(settings, content, as_json=as_json)
        return
    answer = reply.content
    show(answer, as_json=as_json, text=_sentence(answer))
    sys.exit(0 if reply.is_ok else _REFUSED)


def _sentence(answer: dict[str, Any]) -> str:
    if "error" in answer:
        advice = f"\nNext: {answer['next']}" if answer.get("next") else ""
        return f"Refused, nothing changed: {answer['error']}{advice}"
    if answer["unchanged"]:
        message = answer.get("message", "it was live already")
        return f"{answer['active']} stays live: {message}."
    if answer.get("dry_run"):
        return f"{answer['active']} loads and answers as it should; nothing was changed."
    lines = [f"{answer['active']} is live (before: {answer['previous']})."]
    if hold := answer["hold"]:
        lines.append(f"{hold['version']} is held; to let a deploy bring it back: {hold['release']}")
    if not answer["written"]:
        lines.append(f"The file was not changed: {answer['why_not_written']}.")
    return "\n".join(lines)


def _edit(settings: Settings, content: dict[str, Any], *, as_json: bool) -> None:
    """Change the file alone: no server runs."""
    try:
        version = content.get("version") or content.get("to") or _target(settings, content["model"])
        _write(settings, content, version)
        if "version" not in content:
            _note_rollback(settings, content, version)
    except ModeldError as error:
        fail(f"refused, nothing changed: {error}", _REFUSED)
    text = f"No server runs here: {settings.state_file} now asks for {version}."
    if content.get("dry_run"):
        text = f"No server runs here: {version} is in the repository; nothing was tried or changed."
    show(
        {"active": version, "written": not content.get("dry_run"), "source": "file"},
        as_json=as_json,
        text=text,
    )


def _target(settings: Settings, model: str) -> str:
    path = settings.runtime_dir / "modeld.sqlite"
    if not path.exists():
        fail("no server runs here and none has run, so there is no history", _REFUSED)
    with closing(Ledger(path)) as ledger:
        history, holds = ledger.history(model), Holds(ledger.database).of(model)
    asked = _asked_for(settings, model)
    if history and asked != history[-1].version:
        # What the file asks for was never live: going back is to what was live last.
        return history[-1].version
    target = rollback_target(history, [hold.version for hold in holds])
    if target.version is None:
        fail(f"refused, nothing changed: {why_stays(history, holds)}", _REFUSED)
    return target.version


def _note_rollback(settings: Settings, content: dict[str, Any], version: str) -> None:
    """Write it into the history, so that a later rollback does not go forward again."""
    path = settings.runtime_dir / "modeld.sqlite"
    if not path.exists():
        return
    with closing(Ledger(path)) as ledger:
        history = ledger.history(content["model"], limit=1)
        if not history or history[-1].version == version:
            return
        entry = replace(
            history[-1],
            at=time.time(),
            version=version,
            previous=history[-1].version,
            digest=ledger.first_digest(ModelVersion(content["model"], version)) or "",
            trigger=ROLLBACK,
            actor=content["actor"],
            reason=content["reason"],
            commit="",
            seconds=0.0,
        )
        ledger.record(entry)
        Holds(ledger.database).add(_hold(history[-1], version, content))


def _hold(left: Entry, wanted: str, content: dict[str, Any]) -> Hold:
    """The version that was left does not come back by the next deploy."""
    return Hold(
        id=0,
        model=left.model,
        version=left.version,
        digest=left.digest,
        wanted=wanted,
        actor=content["actor"],
        reason=content["reason"],
        base_blob=left.blob,
        base_commit="",
        at=time.time(),
    )


def _asked_for(settings: Settings, model: str) -> str | None:
    try:
        wish = parse(settings.state_file.read_bytes()).model(model)
    except (OSError, ModeldError):
        return None
    return wish.active if wish else None


def _check_expectation(content: dict[str, Any], models: tuple[ModelWish, ...]) -> None:
    """Nothing is live without a server: what the file asks for stands in for it."""
    expected = content.get("expected_version")
    found = next((wish.active for wish in models if wish.model == content["model"]), "nothing")
    if expected is not None and expected != found:
        raise StateConflict(f"expected the file to ask for {expected}, it asks for {found}")


def _write(settings: Settings, content: dict[str, Any], version: str) -> None:
    settings.runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = StateFile(settings.state_file, settings.runtime_dir / "state.lock")
    blob: str | None
    try:
        document = file.read()
        models = parse(document.data).models
        text, blob = document.data.decode(), document.blob
    except (StateMissing, StateEmpty) as error:
        text, models = "", ()
        blob = None if isinstance(error, StateMissing) else blob_id(b"")
    _check_expectation(content, models)
    named = tuple(wish.model for wish in models)
    Repository(settings.models_dir).folder(ModelVersion(content["model"], version), named)
    if not content.get("dry_run"):
        file.write(set_active_in(text, content["model"], version), expected=blob)
