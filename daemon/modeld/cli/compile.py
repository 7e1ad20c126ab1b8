"""`modeld compile`: turn a version into an ONNX model that can be committed beside it."""

import asyncio
import sys
from pathlib import Path

import click

from modeld.cli.options import fail, json_option, place_options, read_settings, show
from modeld.cli.terminal import ended_as_by_ctrl_c
from modeld.config import Settings
from modeld.control.compiling import CompiledBeside, compile_beside
from modeld.control.offline import quiet_nursery
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import ModeldError
from modeld.messages import Compiled
from modeld.repository.versions import Repository

_REFUSED = 1


@click.command("compile")
@place_options
@json_option
@click.argument("version")
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
@ended_as_by_ctrl_c()
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
        compiled, changed = asyncio.run(_compile(settings, wanted))
    except (ModeldError, OSError) as error:
        fail(f"{wanted} is not compiled: {error}", _REFUSED)
    _print(wanted, compiled, changed, as_json=as_json)
    sys.exit(0)


async def _compile(settings: Settings, version: ModelVersion) -> CompiledBeside:
    with quiet_nursery(settings) as nursery:
        return await compile_beside(Repository(settings.models_dir), version, nursery)


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
