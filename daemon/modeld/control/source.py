"""Say where the wish and the models come from: the folder they stand in, or a git remote.

A remote's commits lie in folders under the runtime folder, behind a link; everything that
reads the wish and the models reads them there as it would read any other folder.
"""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from modeld.config import Settings
from modeld.control.following import Following
from modeld.errors import ConfigError, GitError, GitUrlRefused
from modeld.git.command import Git
from modeld.git.follower import Follower
from modeld.git.log import FileLog, Place, log_of
from modeld.git.mirror import Origin
from modeld.git.tree import Wanted, is_safe


class Source(NamedTuple):
    """Where the state file and the models folder are, and who keeps them up to date."""

    state: Path
    models: Path
    following: Following | None
    log: FileLog


def open_source(settings: Settings, runtime: Path) -> Source:
    """Open what the settings name; nothing is fetched yet.

    Raises:
        ConfigError: a setting cannot be used, or git is missing.
    """
    if settings.source == "file":
        return Source(settings.state_file, settings.models_dir, None, log_of(settings.state_file))
    folder = runtime / "git"
    wanted = Wanted(
        _inside(settings.state_file, "MODELD_STATE_FILE"),
        _inside(settings.models_dir, "MODELD_MODELS_DIR"),
    )
    origin = _origin(settings, runtime)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        follower = Follower(folder, origin, wanted)
    except GitUrlRefused as error:
        raise ConfigError(f"MODELD_GIT_URL: {error}") from error
    except OSError as error:
        raise ConfigError(f"MODELD_RUNTIME_DIR: {folder}: {error.strerror}") from error
    current = follower.checkouts.link
    models = current / wanted.models
    following = Following(follower, origin.url, models, settings.git_interval)
    path = wanted.state.as_posix()

    def place() -> Place | None:
        commit = follower.current
        return Place(follower.mirror.git, commit, path) if commit else None

    return Source(current / wanted.state, models, following, FileLog(place))


def _inside(path: Path, name: str) -> PurePosixPath:
    """Check that a path is one inside the repository that is followed."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or not all(map(is_safe, pure.parts)):
        raise ConfigError(
            f"{name}: {path}: with MODELD_SOURCE=git this is a path inside the repository "
            "that is followed, such as state/active.yaml or models"
        )
    return pure


def _origin(settings: Settings, runtime: Path) -> Origin:
    if not settings.git_url:
        raise ConfigError("MODELD_GIT_URL is missing: MODELD_SOURCE=git follows it")
    git = Git(runtime)
    try:
        git.run("version")
    except GitError as error:
        raise ConfigError(f"MODELD_SOURCE=git: {error}") from error
    branch = settings.git_branch
    if branch and git.ask("check-ref-format", f"refs/heads/{branch}") is None:
        raise ConfigError(f"MODELD_GIT_BRANCH: {branch!r} is no name that a branch can have")
    allows_local = settings.git_local == "on"
    url = settings.git_url
    if allows_local and url.startswith(("./", "../")):
        url = str(Path(url).resolve())
    return Origin(url, branch, allows_local, _signers(settings))


def _signers(settings: Settings) -> Path | None:
    if settings.git_verify == "off":
        return None
    if settings.git_signers is None:
        raise ConfigError(
            "MODELD_GIT_SIGNERS is missing: MODELD_GIT_VERIFY=signed needs the file of those "
            "who may sign (lines like: name@example.org ssh-ed25519 AAAA…)"
        )
    if not settings.git_signers.is_file():
        raise ConfigError(f"MODELD_GIT_SIGNERS: {settings.git_signers} is no file")
    return settings.git_signers.absolute()
