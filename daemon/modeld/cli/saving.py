"""Add a model from the notebook or script that trained it: `from modeld import save`.

The model is pickled, with what the notebook itself defines inside, and `modeld add` does the
rest in a process of its own, as it would for any file.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from modeld.cli.saved_rows import columns_of, own_answers, write_rows
from modeld.errors import ModeldError
from modeld.repository.manifest import MANIFEST, Manifest
from modeld.repository.writing import manifest_text

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

    `samples` are some rows that it takes (a data frame, an array, a list of rows or texts; bare
    numbers are one column), of which up to 20 are committed with it; `target` their known answers,
    which it is measured by, unless each row has several.
    The columns of a data frame are recorded with their types. A model that answers a row
    otherwise here than as it is served is refused.
    `version` is the next free one by default, `model` names one of several, and `code` are
    modules that it needs and that are not installed. Raises `ModeldError`; then nothing is
    left behind.
    """
    notes: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="modeld-") as temporary:
        folder = _write_model(estimator, samples, Path(temporary))
        arguments = [str(folder), *([version] if version else [])]
        arguments += ["--models", str(models), "--state", str(_state(Path(models)))]
        arguments += ["--model", model] if model else []
        for each in code:
            arguments += ["--code", str(each)]
        if samples is not None:
            table, column = write_rows(samples, target, Path(temporary))
            arguments += ["--samples", str(table), *(["--target", column] if column else [])]
            if target is not None and not column:
                notes = ("several targets are not measured",)
            arguments += ["--answers", str(_write_answers(estimator, samples, Path(temporary)))]
        elif target is not None:
            raise ModeldError("target has the answers to samples, which are not given")
        return _add(arguments, notes)


def _add(arguments: Sequence[str], notes: tuple[str, ...]) -> Saved:
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
        notes=(*document["notes"], *notes),
        commands=tuple(document["commands"]),
    )


def _state(models: Path) -> Path:
    """The state file that belongs to a folder of versions, wherever the notebook runs."""
    return models.parent / "state" / "active.yaml"


def _write_model(estimator: Any, samples: Any, temporary: Path) -> Path:
    """Pickle a model into a folder, with a manifest that says the types of a frame's columns."""
    import cloudpickle  # type: ignore[import-untyped]  # it ships no types

    folder = temporary / "model"
    folder.mkdir()
    with (folder / "model.pkl").open("wb") as file:
        cloudpickle.dump(estimator, file)
    columns = columns_of(estimator, samples)
    if columns:
        text = manifest_text(Manifest(columns=columns))
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    return folder


def _write_answers(estimator: Any, samples: Any, temporary: Path) -> Path:
    path = temporary / "answers.json"
    path.write_text(json.dumps(own_answers(estimator, samples)), encoding="utf-8")
    return path
