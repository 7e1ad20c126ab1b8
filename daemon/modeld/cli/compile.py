"""`modeld compile`: turn a version into an ONNX model that can be committed beside it."""

import asyncio
import hashlib
import sys
import tempfile
from pathlib import Path

import click

from modeld.cli.options import fail, json_option, place_options, read_settings, show
from modeld.config import Settings
from modeld.control.compilations import LIMIT_SECONDS
from modeld.control.hosts import Nursery
from modeld.control.intake import Intake
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import ModeldError
from modeld.messages import Compiled
from modeld.repository.listing import list_compiled
from modeld.repository.manifest import COMPILED, MANIFEST, FileEntry, read_manifest
from modeld.repository.versions import Repository
from modeld.runtimes.formats import executes_code

_REFUSED = 1


@click.command("compile")
@place_options
@json_option
@click.argument("version")
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
def compile_version(
    config: Path | None, as_json: bool, version: str, model: str, **flags: object
) -> None:
    """Compile VERSION to ONNX, prove that it answers the same, and write it beside the model.

    A server then needs not open the pickle any more: MODELD_TRUST=safe serves it as well.
    Exit codes: 0 written, 1 it cannot be compiled (nothing is written).
    """
    settings = read_settings(config, **flags)
    wanted = ModelVersion(model, version)
    try:
        folder = Repository(settings.models_dir).folder(wanted, (model,))
        with tempfile.TemporaryDirectory(prefix="modeld-") as temporary:
            target = Path(temporary) / COMPILED
            compiled = asyncio.run(_compile(settings, wanted, target))
            changed = _write(folder, target.read_bytes())
    except (ModeldError, OSError) as error:
        fail(f"{wanted} is not compiled: {error}", _REFUSED)
    _print(wanted, compiled, changed, as_json=as_json)
    sys.exit(0)


async def _compile(settings: Settings, version: ModelVersion, target: Path) -> Compiled:
    repository = Repository(settings.models_dir)
    taken = await Intake(repository, target.parent).take(version, (version.model,), None)
    if not executes_code(taken.artifact.format):
        raise ModeldError(f"it is {taken.artifact.format} already")
    nursery = Nursery(memory=settings.host_memory, is_quiet=True)
    host = nursery.start_host(needs_libraries=True)
    try:
        return await host.compile(taken.artifact, str(target), seconds=LIMIT_SECONDS)
    finally:
        host.kill()
        nursery.close()


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


def _print(
    version: ModelVersion, compiled: Compiled, changed: list[Path], *, as_json: bool
) -> None:
    proof = compiled.proof
    paths = " ".join(str(path) for path in changed)
    document = {
        "version": str(version),
        "way": proof.way,
        "rows": proof.rows,
        "greatest_difference": proof.greatest_difference,
        "seconds": round(compiled.seconds, 3),
        "files": [str(path) for path in changed],
    }
    difference = proof.greatest_difference
    numbers = f"differ by at most {difference:.1g}" if difference else "do not differ at all"
    text = (
        f"{version} is compiled: {changed[0]} ({changed[0].stat().st_size:,} bytes)\n"
        f"It answers the same on {proof.rows:,} rows, and numbers {numbers}.\n"
        f"To keep it: git add {paths} && git commit -m 'Compile {version}'"
    )
    show(document, as_json=as_json, text=text)
