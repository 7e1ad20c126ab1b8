"""Keep what was compiled, compile what was not, one version at a time.

A compiled file is named by the digest of its version and by the libraries that made it,
so that another scikit-learn compiles and proves anew. Why a version cannot be compiled is
kept as well: it would be found out at every start. The folder is a cache, bounded by
deleting what is oldest.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from modeld.control.nursery import Nursery
from modeld.domain import Artifact
from modeld.errors import CompileFailed, ModeldError
from modeld.log import get_logger

log = get_logger()

_LIBRARIES = ("scikit-learn", "numpy", "onnx", "onnxruntime", "skl2onnx")
_FORMAT = "2"
"""Changed when another modeld would compile or prove differently."""
LIMIT_SECONDS = 600.0
_LONGEST_REASON = 500


class Compilations:
    """Compiled models by version, under `folder`; at most `most_bytes` of them."""

    def __init__(self, nursery: Nursery, folder: Path, *, most_bytes: int) -> None:
        self._nursery = nursery
        self._folder = folder
        self._most_bytes = most_bytes
        self._running: dict[Path, asyncio.Task[Path]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._made_by = _made_by()

    def find(self, artifact: Artifact) -> Path | None:
        """Give the version's compiled file if there is one."""
        path = self._path(artifact)
        return path if path.exists() else None

    def reason_against(self, artifact: Artifact) -> str:
        """Say why the version was found not to compile; empty when it was not."""
        with contextlib.suppress(OSError):
            return self._path(artifact).with_suffix(".reason").read_text(encoding="utf-8")
        return ""

    def forget(self, artifact: Artifact) -> None:
        """Delete a compiled file that turned out to be of no use."""
        self._path(artifact).unlink(missing_ok=True)

    def _path(self, artifact: Artifact) -> Path:
        # The manifest may say what the pickle does not: it shapes what is compiled as well.
        shape = f"{artifact.columns}{artifact.rank}{artifact.classes}{self._made_by}"
        made_by = hashlib.sha256(shape.encode()).hexdigest()[:12]
        return self._folder / f"{artifact.digest.removeprefix('sha256:')}-{made_by}.onnx"

    async def compile(self, artifact: Artifact) -> Path:
        """Give the version's compiled file, made now if need be.

        Joins a compilation of it that runs. Goes on when its caller gives up: the result
        serves the next one. Raises `CompileFailed` with the reason.
        """
        path = self._path(artifact)
        task = self._running.get(path)
        if task is None:
            task = self._running[path] = asyncio.create_task(self._compile(artifact, path))
            task.add_done_callback(lambda done: self._ended(path, done))
        return await asyncio.shield(task)

    def _ended(self, path: Path, task: asyncio.Task[Path]) -> None:
        del self._running[path]
        if not task.cancelled():
            task.exception()

    async def _compile(self, artifact: Artifact, path: Path) -> Path:
        async with self._one_at_a_time:
            if self.find(artifact):
                return path
            if reason := self.reason_against(artifact):
                raise CompileFailed(reason)
            if not await asyncio.to_thread(Path(artifact.path).exists):
                raise CompileFailed("it was dropped before its turn came to be compiled")
            host = self._nursery.start_host(artifact)
            try:
                await host.compile(artifact, str(path), seconds=LIMIT_SECONDS)
            except CompileFailed as error:
                self._keep_reason(path, str(error))
                raise
            except ModeldError as error:
                # A death or a full disk says nothing of the model: it is tried again.
                raise CompileFailed(str(error)) from error
            finally:
                host.kill()
            log.info("version.compiled", version=str(artifact.version), file=path.name)
            await asyncio.to_thread(self._shrink, path)
            return path

    def _keep_reason(self, path: Path, reason: str) -> None:
        with contextlib.suppress(OSError):
            path.with_suffix(".reason").write_text(reason[:_LONGEST_REASON], encoding="utf-8")

    def _shrink(self, newest: Path) -> None:
        """Delete the oldest files until the rest fits."""
        kept = sorted(self._folder.iterdir(), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in kept)
        for file in kept:
            if total <= self._most_bytes:
                return
            if file != newest:
                total -= file.stat().st_size
                file.unlink(missing_ok=True)

    def stop(self) -> None:
        """End what is being compiled."""
        for task in list(self._running.values()):
            task.cancel()


def _made_by(names: Iterable[str] = _LIBRARIES) -> str:
    found = [_FORMAT]
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
