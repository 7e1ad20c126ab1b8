"""`modeld doctor`: what on this machine is wrong, or will be, and the command that cures it.

Nothing is changed. A check that fails is a finding too, and never keeps the others from being
made.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import click
from rich.text import Text

from modeld.cli.bundle import write_bundle
from modeld.cli.checkup.finding import Finding, problem
from modeld.cli.checkup.folders import (
    check_git,
    check_history,
    check_port,
    check_runtime_folder,
    check_state_folder,
)
from modeld.cli.checkup.machine import (
    check_clock,
    check_cpus,
    check_disks,
    check_inotify,
    check_python,
)
from modeld.cli.checkup.server import Running, check_server, find_running
from modeld.cli.checkup.versions import check_versions
from modeld.cli.options import fail, json_option, place_options, read_settings, show
from modeld.cli.terminal import cell, console, is_terminal, printable
from modeld.config import Settings

Check = Callable[[], Finding | Iterable[Finding]]

_PROBLEMS = 1
_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@click.command()
@place_options
@json_option
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write all that a bug report needs to a .tar.gz, without secrets.",
)
def doctor(config: Path | None, as_json: bool, bundle: Path | None, **flags: object) -> None:
    """Look for what is wrong on this machine; changes nothing.

    Exit codes: 0 there is no problem, 1 there is one.
    """
    settings = read_settings(config, **flags)
    running = find_running(settings)
    findings = list(examine(settings, running))
    document = {"findings": [finding.document() for finding in findings]}
    if bundle is not None:
        try:
            write_bundle(bundle, settings, running, document)
        except OSError as error:
            fail(f"{bundle} cannot be written: {error.strerror}", _PROBLEMS)
    if is_terminal() and not as_json:
        _print(findings)
    else:
        show(document, as_json=as_json, text="\n".join(map(_line, findings)))
    if bundle is not None:
        click.echo(f"modeld: {bundle} is for a bug report; look at it before you send it", err=True)
    sys.exit(_PROBLEMS if any(finding.level == "problem" for finding in findings) else 0)


def examine(settings: Settings, running: Running) -> Iterator[Finding]:
    """Make all checks, one after the other."""
    state, models = _places(settings, running)
    checks: dict[str, Check] = {
        "python": check_python,
        "cpus": partial(check_cpus, settings),
        "port": partial(check_port, settings, running.place if running.status else None),
        "inotify": check_inotify,
        "disk": partial(check_disks, settings),
        "clock": partial(check_clock, (state, settings.runtime_dir / "modeld.sqlite")),
        "runtime folder": partial(check_runtime_folder, settings.runtime_dir),
        "history": partial(check_history, settings.runtime_dir),
        "server": partial(check_server, running),
    }
    if settings.source == "file":
        checks["state file"] = partial(check_state_folder, state)
        checks["git"] = partial(check_git, state)
    if settings.source == "file" or running.status:
        checks["files"] = partial(check_versions, state, models)
    for name, check in checks.items():
        yield from _made(name, check)


def _places(settings: Settings, running: Running) -> tuple[Path, Path]:
    """Give the state file and the models that are served: a followed branch has its own."""
    if settings.source == "file" or not running.status:
        return settings.state_file, settings.models_dir
    state = Path(running.status["desired"]["path"])
    root = state.parents[len(settings.state_file.parts) - 1]
    return state, root / settings.models_dir


def _made(name: str, check: Check) -> Iterator[Finding]:
    try:
        found = check()
        yield from [found] if isinstance(found, Finding) else found
    except Exception as error:  # the doctor outlives what it looks at
        yield problem(name, f"it could not be looked at: {type(error).__name__}: {error}")


def _line(finding: Finding) -> str:
    cure = f"; cure: {finding.cure}" if finding.cure else ""
    return printable(f"{finding.level:<8} {finding.check}: {finding.message}{cure}")


def _print(findings: Iterable[Finding]) -> None:
    where = console()
    for finding in findings:
        cure = Text.assemble("; cure: ", cell(finding.cure, "bold")) if finding.cure else ""
        level = (f"{finding.level:<8} ", _STYLES[finding.level])
        where.print(
            Text.assemble(level, cell(finding.check), ": ", cell(finding.message), cure),
            soft_wrap=True,
        )
