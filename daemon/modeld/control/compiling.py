"""Compile a version where it stands, and write the ONNX model beside it.

For commands, without a server: the version is taken in and opened in a host as a server
would, and what comes out is listed where its manifest lists files.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import NamedTuple

from modeld.control.compilations import LIMIT_SECONDS
from modeld.control.intake import Intake
from modeld.control.nursery import Nursery
from modeld.domain import ModelVersion
from modeld.errors import ModeldError
from modeld.messages import Compiled
from modeld.repository.listing import list_compiled
from modeld.repository.manifest import COMPILED, MANIFEST, FileEntry, read_manifest
from modeld.repository.versions import Repository
from modeld.runtimes.formats import is_native


class CompiledBeside(NamedTuple):
    """How a version was compiled, and which files changed for it: the compiled one first."""

    compiled: Compiled
    changed: list[Path]


async def compile_beside(
    repository: Repository, version: ModelVersion, nursery: Nursery
) -> CompiledBeside:
    """Compile a version and write the result into its folder.

    Raises a `VersionError` that says why it cannot be compiled, and `OSError`.
    """
    named = (version.model,)
    folder = repository.folder(version, named)
    with tempfile.TemporaryDirectory(prefix="modeld-") as temporary:
        target = Path(temporary) / COMPILED
        taken = await Intake(repository, target.parent).take(version, named, None)
        if not is_native(taken.artifact.format):
            raise ModeldError(f"it is {taken.artifact.format} already")
        host = nursery.start_host(taken.artifact)
        try:
            compiled = await host.compile(taken.artifact, str(target), seconds=LIMIT_SECONDS)
        finally:
            host.kill()
        return CompiledBeside(compiled, _write(folder, target.read_bytes()))


def _write(folder: Path, content: bytes) -> list[Path]:
    """Write the compiled file, and list it where the manifest lists files."""
    from modeld.host.compiling import write_whole  # with numpy, which no other command needs

    changed = [folder / COMPILED]
    manifest = folder / MANIFEST
    entry = FileEntry(COMPILED, len(content), hashlib.sha256(content).hexdigest())
    if manifest.exists():
        before = manifest.read_text(encoding="utf-8")
        after = list_compiled(before, entry, str(manifest))
        if after != before:
            changed.append(manifest)
            write_whole(folder / COMPILED, content)
            write_whole(manifest, after.encode())
            read_manifest(folder)
            return changed
    write_whole(folder / COMPILED, content)
    return changed
