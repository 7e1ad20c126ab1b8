"""`modeld verify`: check the repository as a server would, before a change is merged.

The exit code is that of the first of the failures: the lowest number.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from modeld.cli.options import fail, json_option, place_options, read_settings, show, version_named
from modeld.cli.review import review
from modeld.cli.terminal import cell, console, ended_as_by_ctrl_c, printable
from modeld.config import Settings
from modeld.control.against import Against, LiveChange, hold_against
from modeld.control.comparing import comparison_document
from modeld.control.examining import Examined, Failure, examine
from modeld.control.verifying import Verified, names_of, verify_files, wished
from modeld.domain import DEFAULT_MODEL
from modeld.errors import ModeldError
from modeld.log import configure
from modeld.repository.versions import Repository


@click.command()
@place_options
@json_option
@click.argument("versions", nargs=-1, metavar="[VERSION]...")
@click.option("--static", is_flag=True, help="Load nothing; Git LFS pointers will do.")
@click.option("--against", metavar="REF", help="Compare with a commit: no version may change.")
@click.option("--markdown", is_flag=True, help="Print for the summary of a review.")
@ended_as_by_ctrl_c()
def verify(
    config: Path | None,
    as_json: bool,
    versions: tuple[str, ...],
    static: bool,
    against: str | None,
    markdown: bool,
    **flags: object,
) -> None:
    """Check the state file and the versions of this folder; needs no server.

    Versions that are asked for are loaded, and so is each VERSION (v3, or churn@v3); what was
    compiled is compared with what it was made from.

    Exit codes: 0 nothing is wrong, 1 the files, the state file or the manifest are, 2 a version
    does not load, 3 it does not answer its golden samples, 4 its compiled file answers otherwise.
    """
    if static and versions:
        raise click.UsageError("--static loads nothing; name no versions with it")
    settings = read_settings(config, **flags)
    configure(settings.log_format)  # to stderr, what loading has to say
    try:
        found = _verify(settings, is_static=static)
        earlier = _hold_against(against, found, settings) if against else None
        loads = not static and not found.problems
        examined = asyncio.run(_examine(settings, found, versions)) if loads else ()
    except (ModeldError, OSError) as error:
        fail(f"not verified: {error}", Failure.STATIC)
    document = _document(found, earlier, examined, is_static=static)
    text = review(document) if markdown else _text(document)
    if versions and examined and not as_json and not markdown:
        _print_table(examined)
    show(document, as_json=as_json and not markdown, text=text.rstrip("\n"))
    sys.exit(_exit_code(document, examined))


def _verify(settings: Settings, *, is_static: bool) -> Verified:
    return verify_files(
        settings.state_file, settings.models_dir, settings.trust, allows_pointers=is_static
    )


async def _examine(
    settings: Settings, found: Verified, given: tuple[str, ...]
) -> tuple[Examined, ...]:
    """Load the versions that are wished for, and those that are given."""
    pins = dict(wished(found.wish))
    asked = [version_named(each, DEFAULT_MODEL) for each in given]
    pins |= {version: pins.get(version) for version in asked}
    named = {*names_of(found.wish), *(version.model for version in pins)}
    return await examine(
        settings, Repository(settings.models_dir), tuple(pins.items()), tuple(sorted(named))
    )


def _exit_code(document: dict[str, Any], examined: tuple[Examined, ...]) -> int:
    failures = [each.failure for each in examined if each.failure]
    if len(document["problems"]) > len(failures):
        failures.append(Failure.STATIC)
    return int(min(failures, default=Failure.NONE))


def _hold_against(name: str, found: Verified, settings: Settings) -> Against:
    return hold_against(name, found, settings.state_file, settings.models_dir)


def _document(
    found: Verified, earlier: Against | None, examined: tuple[Examined, ...], *, is_static: bool
) -> dict[str, Any]:
    problems = [*found.problems, *(earlier.problems if earlier else ())]
    problems += [each.problem for each in examined if each.problem]
    document: dict[str, Any] = {"verified": not problems, "problems": problems}
    if not problems:
        document["summary"] = _summary(found, examined, is_static=is_static)
    if not is_static:
        document["versions"] = [_examined(each) for each in examined]
    if earlier:
        document["against"] = {
            "commit": earlier.commit,
            "live": [_live(change) for change in earlier.live],
            "added": list(map(str, earlier.added)),
            "removed": list(map(str, earlier.removed)),
        }
    return document


def _live(change: LiveChange) -> dict[str, Any]:
    comparison = comparison_document(change.comparison) if change.comparison else None
    return {
        "model": change.model,
        "before": change.before,
        "after": change.after,
        "comparison": comparison,
    }


def _text(document: dict[str, Any]) -> str:
    live = document["against"]["live"] if "against" in document else ()
    lines = [f"{each['model']}: {each['before']} -> {each['after']}" for each in live]
    return "\n".join(map(printable, (*(document["problems"] or (document["summary"],)), *lines)))


def _summary(found: Verified, examined: tuple[Examined, ...], *, is_static: bool) -> str:
    loaded = ", ".join(str(each.version) for each in examined)
    asked = ", ".join(str(version) for version, _ in wished(found.wish))
    proven = f"{asked} asked for" if is_static else f"{loaded} loaded and proven"
    count = f"{len(found.seen)} version{'' if len(found.seen) == 1 else 's'}"
    return f"verified: {count}; {proven}"


def _examined(each: Examined) -> dict[str, Any]:
    return {
        "version": str(each.version),
        "failure": each.failure.name.lower(),
        "problem": each.problem,
        "seconds": round(each.seconds, 3),
        "compiled": each.compiled,
        "rows": each.rows,
    }


def _print_table(examined: tuple[Examined, ...]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("version", "loads", "golden samples", "compiled"):
        table.add_column(name)
    for each in examined:
        table.add_row(*map(cell, (each.version, *_said(each))))
    console().print(table)


def _said(each: Examined) -> tuple[str, str, str]:
    if each.failure in (Failure.STATIC, Failure.LOAD):
        return "no", "", ""
    loads = f"in {each.seconds:.1f} s" if each.seconds else "yes"
    if each.failure == Failure.SAMPLES:
        return loads, "other answers", ""
    equal = f"equal on {each.rows:,} rows" if each.rows else each.compiled
    return loads, "as promised" if each.samples else "none", equal or "no"
