"""Look at the folders that the server owns or writes to, at git, and at the port."""

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from modeld.cli.checkup.finding import Finding, ok, problem, warning
from modeld.cli.checkup.machine import existing, is_there
from modeld.config import Settings
from modeld.config_values import git_directory
from modeld.control.ledger import Ledger
from modeld.control.listener import open_listener
from modeld.control.runtime_folder import Place
from modeld.errors import ConfigError
from modeld.git.command import Git


def check_port(settings: Settings, running: Place | None) -> Finding:
    """See whether the port is free, or who has it."""
    if running is not None and settings.port in (0, running.port):
        return ok("port", f"{running.port} is this server's, process {running.pid}")
    try:
        open_listener(settings.host, settings.port, 0).close()
    except ConfigError as error:
        return problem("port", str(error), "ss", "-ltnp", f"sport = :{settings.port}")
    return ok("port", f"{settings.port} on {settings.host} is free")


def check_runtime_folder(folder: Path) -> Iterator[Finding]:
    """See whether the runtime folder is this user's alone, and written by this modeld."""
    if not (is_there(folder) and folder.is_dir()):
        above = existing(folder)
        if above.is_dir() and _is_writable(above):
            yield ok("runtime folder", f"{folder} is made at the first start")
        else:
            yield problem("runtime folder", f"{folder} cannot be made", "ls", "-ld", above)
        return
    found = folder.stat()
    if found.st_uid != os.getuid():
        message = f"{folder} belongs to {_user(found.st_uid)}"
        yield problem("runtime folder", message, "sudo", "chown", "-R", _user(os.getuid()), folder)
    elif not _is_writable(folder):
        yield problem("runtime folder", f"{folder} is not writable", "chmod", "700", folder)
    elif stat.S_IMODE(found.st_mode) & 0o077:
        yield warning("runtime folder", f"others may enter {folder}", "chmod", "700", folder)
    else:
        yield ok("runtime folder", f"{folder} is yours alone")


def check_history(folder: Path) -> Finding:
    """See whether the history in the runtime folder can be read, and is as it was written."""
    path = folder / "modeld.sqlite"
    if not path.exists():
        return ok("history", "there is none yet")
    try:
        with closing(Ledger(path, is_read_only=True)) as ledger:
            broken = ledger.first_broken()
    except ConfigError as error:
        return problem("history", str(error), "ls", "-l", path)
    if broken is not None:
        message = f"entry {broken} is not as it was written"
        return problem("history", message, "modeld", "audit", "verify")
    return ok("history", "its format is known, and it is whole")


def check_state_folder(path: Path) -> Iterator[Finding]:
    """See whether the state file can be read, and replaced by a call in an emergency."""
    folder = path.parent
    if not folder.is_dir():
        yield problem("state file", f"there is no folder {folder.absolute()}", "modeld", "init")
        return
    if not os.access(path, os.R_OK):
        why = "cannot be read" if path.exists() else "is missing"
        yield problem("state file", f"{path} {why}", "ls", "-l", folder)
    owner = folder.stat().st_uid
    me = _user(os.getuid())
    if not _is_writable(folder):
        message = f"{folder} belongs to {_user(owner)} and is not writable: calls cannot write it"
        yield warning("state file", message, "sudo", "chown", "-R", me, folder.absolute())
    elif owner != os.getuid():
        message = f"{folder} belongs to {_user(owner)}, not to {me}"
        yield warning("state file", message, "sudo", "chown", "-R", me, folder)
    elif path.exists():
        yield ok("state file", f"{path} is yours and can be replaced")


def check_git(state: Path) -> Finding:
    """See whether git works here for this user, or takes the folder for somebody else's."""
    found = git_directory(state)
    if found is None:
        return ok("git", "there is no repository here")
    git = Git(existing(state.parent))
    if git.ask("--version") is None:
        return warning(
            "git", "git cannot be run: there is no history of the state file", "which", "git"
        )
    above = existing(state.parent.resolve())
    tops = (each for each in (above, *above.parents) if is_there(each / ".git"))
    folder = next(tops, above)
    strangers = {each.stat().st_uid for each in (folder, found) if each.exists()} - {os.getuid()}
    if not strangers:
        return ok("git", f"{folder} is yours")
    safe = (git.ask("config", "--global", "--get-all", "safe.directory") or "").splitlines()
    if str(folder) in safe or "*" in safe:
        return ok("git", f"{folder} is another user's, and named in safe.directory")
    owner = _user(strangers.pop())
    cure = ("git", "config", "--global", "--add", "safe.directory", folder)
    message = f"{folder} belongs to {owner}: git refuses it to you, not to modeld"
    return warning("git", message, *cure)


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
