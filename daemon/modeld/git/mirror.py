"""Keep a bare copy of the branch that is followed, and say whether its head may be followed.

The head goes into a reference of our own, whatever it is, so that a rewritten branch is seen
and not just refused. Nothing here changes what is served.

The mirror belongs to us alone: its configuration is put back before each use, so that nothing
that found its way there is acted on, and what an interrupted fetch left is deleted.
"""

import contextlib
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modeld.errors import (
    GitDetached,
    GitDiverged,
    GitError,
    GitUnavailable,
    GitUnverified,
    GitUrlRefused,
)
from modeld.git.command import REMOTE_SECONDS, Git, check_url
from modeld.git.lfs import LfsStore

FETCH_SECONDS = 1800.0

_FETCHED = "refs/modeld/fetched"
_CONFIGURATION = """\
[core]
\trepositoryformatversion = 0
\tbare = true
\tfsync = committed,reference
[fetch]
\tunpackLimit = 1
"""
_MOST_PACKS = 40
_STALE_SECONDS = 60.0
_HASH_LENGTHS = (40, 64)
_BRANCH = "ref: refs/heads/"


@dataclass(frozen=True, slots=True)
class Origin:
    """What is followed: an address, a branch (empty: the remote's own choice), and who signs."""

    url: str
    branch: str = ""
    allows_local: bool = False
    signers: Path | None = None
    seconds: float = REMOTE_SECONDS

    @property
    def local_path(self) -> str:
        """The path of a remote on this machine; empty for any other."""
        is_local = self.url.startswith(("/", "file://"))
        return self.url.removeprefix("file://") if is_local else ""


@dataclass(frozen=True, slots=True)
class Head:
    """A branch of the remote, and the commit that it names."""

    branch: str
    commit: str


class Mirror:
    """A bare repository with the followed branch of one remote."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        check_url(origin.url, allows_local=origin.allows_local)
        if origin.url.startswith("."):
            raise GitUrlRefused(f"{origin.url!r}: the path of a remote must be a whole one")
        self.folder = folder
        self.git = Git(folder, allows_local=origin.allows_local)
        self.origin = origin
        # By the environment, which others on the machine cannot read: it may hold a password.
        self.environment = _configured(
            {
                "remote.origin.url": origin.url,
                # A connection on which nothing comes any more is given up before the fetch is.
                "http.lowSpeedLimit": "100",
                "http.lowSpeedTime": "30",
            }
        )
        self.lfs = LfsStore(self.git, self.environment)

    def prepare(self) -> None:
        """Make the mirror where it is missing, and put it in order. Raises `GitError`."""
        try:
            if not self.folder.exists():
                self._make()
            self._put_in_order()
        except OSError as error:
            raise GitUnavailable(f"{self.folder}: {error.strerror or error}") from error

    def _make(self) -> None:
        new = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        Git(new).run("init", "--quiet", "--bare", "--template=", ".")
        # A head that names nothing: no file of the remote's is looked for in it.
        (new / "HEAD").write_text("ref: refs/heads/nothing\n")
        new.replace(self.folder)

    def _put_in_order(self) -> None:
        configuration = self.folder / "config"
        if not configuration.is_file() or configuration.read_text() != _CONFIGURATION:
            temporary = configuration.with_name("config.new")
            temporary.write_text(_CONFIGURATION)
            temporary.replace(configuration)
        for name in ("hooks", "info", "config.worktree"):
            _remove(self.folder / name)
        objects = self.folder / "objects"
        for left in (
            *objects.glob("pack/tmp_*"),
            *objects.glob("pack/.tmp-*"),
            *objects.glob("tmp_*"),
            *objects.glob("??/tmp_*"),
        ):
            _remove(left)
        for lock in (*self.folder.glob("*.lock"), *self.folder.glob("refs/**/*.lock")):
            # A young one may be that of a git whose modeld was killed and which is about to end.
            if time.time() - lock.stat().st_mtime > _STALE_SECONDS:
                _remove(lock)
        head = self.folder / _FETCHED
        if head.exists() and len(head.read_bytes().strip()) not in _HASH_LENGTHS:
            head.unlink()  # Cut short by a power cut; git would not write over it.

    def head(self) -> Head:
        """Ask the remote for its branch. Raises `GitUnavailable` and `GitDetached`."""
        branch = self.origin.branch
        wanted = f"refs/heads/{branch}" if branch else "HEAD"
        lines = self._ask_remote("ls-remote", "--symref", "origin", wanted).splitlines()
        # A pattern of ls-remote also finds longer names that end in it.
        found = [
            value for value, _, name in (line.partition("\t") for line in lines) if name == wanted
        ]
        commits = [value for value in found if not value.startswith("ref: ")]
        if not branch:
            links = [value for value in found if value.startswith(_BRANCH)]
            branch = links[0].removeprefix(_BRANCH) if links else ""
        if branch and commits:
            return Head(branch, commits[0])
        if self.origin.branch:
            raise GitDetached(f"the remote has no branch {branch}; MODELD_GIT_BRANCH names it")
        raise GitDetached("the remote's HEAD names no branch; MODELD_GIT_BRANCH may name one")

    def fetch(self, branch: str) -> Head:
        """Fetch a branch, wherever its head has gone. Raises `GitUnavailable`."""
        try:
            self._ask_remote(
                *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-prune"),
                *("--no-write-fetch-head", "--no-auto-gc", "--no-write-commit-graph"),
                # Without it, git passes over a branch of a shallow remote without a word.
                "--update-shallow",
                *("origin", f"+refs/heads/{branch}:{_FETCHED}"),
                seconds=FETCH_SECONDS,
            )
        except GitUnavailable:
            with contextlib.suppress(GitError):
                self.prepare()  # A full disk needs the room of what was half fetched.
            raise
        return Head(branch, self.git.text("rev-parse", "--verify", f"{_FETCHED}^{{commit}}"))

    def has(self, commit: str) -> bool:
        """Tell whether a commit is in the mirror."""
        return self.git.ask("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") is not None

    def require_after(self, followed: str, head: Head) -> None:
        """Raise `GitDiverged` unless a head comes after the commit that is followed."""
        if self.git.ask("merge-base", "--is-ancestor", followed, head.commit) is None:
            raise GitDiverged(
                f"{head.branch} was rewritten, or is another branch: {head.commit[:12]}, its head, "
                f"does not come after {followed[:12]}, which is followed; to accept it: "
                """POST /admin/sync {"force": true}"""
            )

    def require_signed(self, commit: str) -> None:
        """Raise `GitUnverified` where signatures are asked for and a commit has no known one."""
        signers = self.origin.signers
        if signers is None:
            return
        try:
            self.git.run(
                *("verify-commit", commit),
                environment=_configured({"gpg.ssh.allowedSignersFile": str(signers.absolute())}),
            )
        except GitUnavailable:
            raise
        except GitError as error:
            raise GitUnverified(
                f"{commit[:12]} is not signed by anybody whom MODELD_GIT_SIGNERS names"
            ) from error

    def tidy(self) -> None:
        """Put small packs together, of which every fetch leaves one."""
        packs = list((self.folder / "objects" / "pack").glob("*.pack"))
        if len(packs) > _MOST_PACKS:
            with contextlib.suppress(GitError):
                self.git.run("repack", "-d", "--quiet", "--geometric=2", seconds=FETCH_SECONDS)

    def _ask_remote(self, command: str, *arguments: str, seconds: float | None = None) -> str:
        """Run a command that speaks to the remote; whatever goes wrong there may be put right."""
        limit = seconds or self.origin.seconds
        upload_pack = ("--upload-pack", _for_any_owner()) if self.origin.local_path else ()
        try:
            return self.git.run(
                *(command, *upload_pack, *arguments),
                environment=self.environment,
                seconds=limit,
            ).decode(errors="replace")
        except GitUnavailable:
            raise
        except GitError as error:
            raise GitUnavailable(str(error)) from error


def _configured(values: Mapping[str, str]) -> dict[str, str]:
    """Give git settings for one command by its environment."""
    environment = {"GIT_CONFIG_COUNT": str(len(values))}
    for number, (key, value) in enumerate(values.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment


def _for_any_owner() -> str:
    """Serve a local remote that belongs to another user, in this one process.

    Git hands no `-c` on to it, and the address was allowed by name.
    """
    return shlex.join(["git", "-c", "safe.directory=*", "upload-pack"])


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
