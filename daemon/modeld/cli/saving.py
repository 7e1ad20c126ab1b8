"""Add a model from the notebook or script that trained it: `from modeld import save`.

The model is pickled, with what the notebook itself defines inside, and `modeld add` does the
rest in a process of its own, as it would for any file.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan
from pathlib import Path
from typing import Any

from modeld.errors import ModeldError

_WARNING = "modeld: warning: "
_NOT_ADDED = " is not added: "


@dataclass(frozen=True, slots=True, repr=False)
class Saved:
    """A version that was added. `commands` are to be typed to keep it in git."""

    version: str
    folder: str
    metrics: Mapping[str, float]
    compiled: bool
    notes: tuple[str, ...]
    commands: tuple[str, ...]

    def __repr__(self) -> str:
        lines = [f"{self.version} is added: {self.folder}", *self._facts()]
        return "\n".join((*lines, "To keep it:", *(f"    {each}" for each in self.commands)))

    def _repr_html_(self) -> str:
        facts = "".join(f"<br>{escape(each)}" for each in self._facts())
        commands = escape("\n".join(self.commands))
        return (
            f"<b>{escape(self.version)}</b> is added: <code>{escape(self.folder)}</code>"
            f"{facts}<pre>{commands}</pre>"
        )

    def _facts(self) -> list[str]:
        measured = [f"{name} {value:.4g}" for name, value in self.metrics.items()]
        compiled = "compiled to ONNX" if self.compiled else "served as it is, not compiled"
        return [*([", ".join(measured)] if measured else []), compiled, *self.notes]


def save(
    estimator: Any,
    samples: Any = None,
    target: Any = None,
    *,
    models: str | Path = "models",
    version: str | None = None,
    model: str | None = None,
    code: Sequence[str | Path] = (),
) -> Saved:
    """Add a fitted model to a repository, as `modeld add` does.

    `samples` are some rows that it takes (a data frame, an array, a list of rows or texts), of
    which up to 20 are committed with it; `target` their known answers, which it is measured by.
    `version` is the next free one by default, `model` names one of several, and `code` are
    modules that it needs and that are not installed. Raises `ModeldError`; then nothing is
    left behind.
    """
    with tempfile.TemporaryDirectory(prefix="modeld-") as temporary:
        path = _pickle(estimator, Path(temporary))
        arguments = [str(path), *([version] if version else [])]
        arguments += ["--models", str(models), "--state", str(_state(Path(models)))]
        arguments += ["--model", model] if model else []
        for each in code:
            arguments += ["--code", str(each)]
        if samples is not None:
            table, column = _write_rows(samples, target, Path(temporary))
            arguments += ["--samples", str(table), *(["--target", column] if column else [])]
        elif target is not None:
            raise ModeldError("target has the answers to samples, which are not given")
        return _add(arguments)


def _add(arguments: Sequence[str]) -> Saved:
    command = [sys.executable, "-m", "modeld", "add", *arguments, "--json"]
    # It runs this interpreter with our own module, on files that were written here.
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    said = done.stderr.splitlines()
    for line in said:
        if line.startswith(_WARNING):
            warnings.warn(line.removeprefix(_WARNING), stacklevel=3)
    if done.returncode != 0:
        told = (said or ["no reason given"])[-1].removeprefix("modeld: ")
        raise ModeldError(f"not added: {told.rpartition(_NOT_ADDED)[2]}")
    document = json.loads(done.stdout)
    return Saved(
        version=document["version"],
        folder=document["folder"],
        metrics=document["metrics"],
        compiled=document["compiled"] is not None,
        notes=tuple(document["notes"]),
        commands=tuple(document["commands"]),
    )


def _state(models: Path) -> Path:
    """The state file that belongs to a folder of versions, wherever the notebook runs."""
    return models.parent / "state" / "active.yaml"


def _pickle(estimator: Any, folder: Path) -> Path:
    import cloudpickle  # type: ignore[import-untyped]  # it ships no types

    path = folder / "model.pkl"
    with path.open("wb") as file:
        cloudpickle.dump(estimator, file)
    return path


def _write_rows(samples: Any, target: Any, folder: Path) -> tuple[Path, str]:
    """Write rows as JSON lines, with the target as a last column; gives its name."""
    rows = _rows(samples)
    known = [] if target is None else _list(target)
    column = ""
    if target is not None:
        if len(known) != len(rows):
            raise ModeldError(f"samples have {len(rows)} rows, target has {len(known)}")
        rows, column = _with_target(rows, known)
    path = folder / "samples.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(row, default=_plain)}\n" for row in rows)
    return path, column


def _rows(samples: Any) -> list[Any]:
    if hasattr(samples, "to_dict") and hasattr(samples, "columns"):
        if not all(isinstance(name, str) for name in samples.columns):
            return _list(samples.to_numpy())
        return [_finite(row) for row in samples.to_dict("records")]
    return [_finite(row) for row in _list(samples)]


def _list(values: Any) -> list[Any]:
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    listed: Iterable[Any] = values.tolist() if hasattr(values, "tolist") else values
    return list(listed)


def _finite(row: Any) -> Any:
    """Write a missing number as JSON can."""
    if isinstance(row, Mapping):
        return {name: _finite(cell) for name, cell in row.items()}
    if isinstance(row, list | tuple):
        return [_finite(cell) for cell in row]
    return None if isinstance(row, float) and isnan(row) else row


def _with_target(rows: list[Any], known: list[Any]) -> tuple[list[Any], str]:
    if isinstance(rows[0], str):
        return [{"text": r, "target": y} for r, y in zip(rows, known, strict=True)], "target"
    if isinstance(rows[0], Mapping):
        column = "target"
        while column in rows[0]:
            column += "_"
        return [{**r, column: y} for r, y in zip(rows, known, strict=True)], column
    return [[*row, y] for row, y in zip(rows, known, strict=True)], str(len(rows[0]))


def _plain(value: Any) -> Any:
    """Turn numpy's values into Python's; whatever JSON has no word for becomes a text."""
    return value.item() if hasattr(value, "item") else str(value)
