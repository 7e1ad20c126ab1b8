"""Say what was added: for a person, with the commands to type next, and for a program."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from modeld.cli.terminal import cell, console, printable
from modeld.control.adding import Added, Addition, nullable_of
from modeld.domain import DEFAULT_MODEL, Signature
from modeld.git.command import Git
from modeld.git.worktree import find_work_tree

LARGE = 50_000_000
"""Bytes above which git is no good place for a file: GitHub warns at 50 MB, refuses at 100 MB."""

_SHOWN = 8


def document_of(added: Added) -> dict[str, Any]:
    """Make the document of `modeld add --json`."""
    described, proof = added.described, added.proof
    signature = described.signature
    return {
        "version": str(added.version),
        "folder": str(added.folder),
        "format": added.format,
        "digest": added.digest,
        "files": {each.path: each.size for each in added.files},
        "inputs": [
            {"name": column.name, "type": kind, "nullable": may_miss}
            for column, kind, may_miss in zip(
                signature.columns, described.types, nullable_of(signature), strict=True
            )
        ],
        "classes": list(signature.classes),
        "libraries": {each.name: each.version for each in described.libraries},
        "metrics": {each.name: each.value for each in described.metrics},
        "samples": {"count": described.samples, "rows": list(described.golden)},
        "compiled": {"rows": proof.rows, "way": proof.way} if proof else None,
        "why_native": added.why_native,
        "tool": added.tool,
        "notes": list(added.notes),
        "active": added.state is not None,
        "commands": _commands(added),
    }


def print_added(added: Added, addition: Addition) -> None:
    """Print a summary, what to think about, and the commands to type next."""
    where = console()
    where.print(Text.assemble((f"{added.version} is added", "bold green"), f": {added.folder}"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, text in _lines(added, addition):
        table.add_row(name, cell(text))
    where.print(table)
    for note in _notes(added):
        where.print(Text(printable(f"Note: {note}"), style="yellow"), soft_wrap=True)
    where.print("\nTo keep it:")
    for command in _commands(added):
        where.print(Text(f"    {command}"), soft_wrap=True)
    if added.state is not None:
        where.print(f"{added.state} makes it the active version.")
    else:
        where.print(Text(f"To serve it: modeld set {added.version.version}{_model(added)}"))


def _lines(added: Added, addition: Addition) -> Iterator[tuple[str, str]]:
    described = added.described
    size = sum(each.size for each in added.files)
    origin = f", as {added.tool} kept it" if added.tool else ""
    yield "model", f"{added.format}, {size:,} bytes{origin}"
    yield "takes", _takes(described.signature, described.types)
    yield "answers", _answers(described.signature, described.kind)
    yield "libraries", ", ".join(f"{each.name} {each.version}" for each in described.libraries)
    if described.metrics:
        measured = ", ".join(f"{each.name} {each.value:.4g}" for each in described.metrics)
        yield "metrics", f"{measured} ({described.rows:,} rows)"
    yield "samples", _samples(added, addition)
    if added.proof is not None:
        yield "compiled", f"answers the same on {added.proof.rows:,} rows"
    elif added.why_native:
        yield "compiled", f"no: {added.why_native}"


def _takes(signature: Signature, types: Sequence[str]) -> str:
    if signature.rank == 0:
        return "a text"
    names = [f"{c.name} ({kind})" for c, kind in zip(signature.columns, types, strict=True)]
    if not names:
        return f"{signature.width or 'any number of'} numbers"
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _answers(signature: Signature, kind: str) -> str:
    with_chances = ", with probabilities" if signature.has_probabilities else ""
    classes = [str(each) for each in signature.classes]
    if not classes:
        return f"{kind or 'values'}{with_chances}"
    more = len(classes) - _SHOWN
    listed = ", ".join(classes[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{listed}{with_chances}"


def _samples(added: Added, addition: Addition) -> str:
    described = added.described
    if not described.samples:
        return "none"
    if not described.golden:
        return f"{described.samples} golden rows, made up"
    rows = ", ".join(map(str, described.golden))
    table = addition.samples or f"the example of {added.tool}"
    return (
        f"{described.samples} golden rows: {rows} of {table}. They stay in git's history for "
        "ever; --synthetic commits made-up ones instead"
    )


def _notes(added: Added) -> Iterator[str]:
    yield from added.notes
    for each in added.files:
        if each.size > LARGE and not _is_in_lfs(added.folder / each.path):
            yield (
                f"{each.path} has {each.size / 1e6:,.0f} MB, which git keeps for ever and GitHub "
                f"refuses above 100 MB; before you add it: git lfs track "
                f"'models/**/*{Path(each.path).suffix}'"
            )


def _is_in_lfs(path: Path) -> bool:
    tree = find_work_tree(path)
    found = tree.git.ask("check-attr", "filter", "--", tree.path) if tree else None
    return bool(found and found.endswith(": lfs"))


def _commands(added: Added) -> list[str]:
    paths = [added.folder, *([added.state] if added.state is not None else [])]
    force = "-f " if _is_ignored(added.folder) else ""
    return [
        f"git add {force}{shlex.join(map(str, paths))}",
        f"git commit -m {shlex.quote(f'Add {added.version}')}",
    ]


def _is_ignored(folder: Path) -> bool:
    """Tell whether git would pass over a file of the version without a word."""
    tree = find_work_tree(folder)
    if tree is None:
        return False
    paths = [str(path.resolve()) for path in folder.rglob("*") if path.is_file()]
    return bool(Git(tree.root, allows_local=True).ask("check-ignore", "--", *paths))


def _model(added: Added) -> str:
    model = added.version.model
    return "" if model == DEFAULT_MODEL else f" --model {model}"
