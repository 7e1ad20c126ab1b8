"""Find out what a manifest says of a version: inputs, answers, libraries, golden samples, metrics.

Done once, when a version is added, in a process that may be killed. Golden samples are rows of
a table that came with the model, or made-up ones; a row that the model does not answer is none.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from modeld.domain import Artifact, InputColumn, Library, Signature
from modeld.errors import LoadFailed
from modeld.host.compiling import write_whole
from modeld.host.making_up import make_up
from modeld.host.measuring import Measured, measure
from modeld.host.samples_table import Table
from modeld.host.trial import complete, trial_rows, why_native
from modeld.messages import Describe, Described
from modeld.runtimes.formats import executes_code, is_native, libraries_of, open_model
from modeld.runtimes.golden import MOST_GOLDEN, is_same, spread, to_rows
from modeld.runtimes.model import Model, as_plain
from modeld.runtimes.scanning import find_globals

_ONCE_MORE = "it does not answer the same twice, so that it has no golden samples"


@dataclass(frozen=True, slots=True)
class _Golden:
    """Rows with their answers; `numbers` are those of the table, counted from 1."""

    inputs: list[Any]
    outputs: list[Any]
    numbers: tuple[int, ...] = ()


def describe_version(order: Describe) -> Described:
    """Open a version and describe it; writes golden samples to `order.samples`.

    Raises `LoadFailed` where it does not open or does not answer the rows of the table.
    """
    started = time.perf_counter()
    table = Table(order.table, order.target) if order.table else None
    model, artifact = _open(order.artifact, table)
    golden = _golden(model, table, makes_up=order.makes_up)
    rows = to_rows(model.signature, golden.inputs) if golden.inputs else trial_rows(model, None)
    model.signature = complete(artifact, model, rows)
    notes = [] if rows is not None else ["it does not say which rows it takes: give it --samples"]
    is_steady = _is_steady(model, golden)
    if order.answers and is_steady:
        _check_answers(golden, order.answers, _taken(model, artifact))
    if golden.inputs and is_steady:
        content = {"inputs": golden.inputs, "outputs": golden.outputs}
        write_whole(Path(order.samples), (json.dumps(content, ensure_ascii=False) + "\n").encode())
    measured = measure(model, table) if table is not None and order.target else Measured()
    return Described(
        signature=model.signature,
        types=_types(model, artifact),
        kind=_kind(model.signature, golden),
        libraries=_libraries(model, artifact),
        metrics=measured.metrics,
        rows=measured.rows,
        samples=len(golden.inputs) if is_steady else 0,
        golden=golden.numbers if is_steady else (),
        notes=tuple(notes if is_steady else [*notes, _ONCE_MORE]),
        why_native=why_native(model),
        seconds=time.perf_counter() - started,
    )


def _open(artifact: Artifact, table: Table | None) -> tuple[Model, Artifact]:
    """Open it; what it does not know of its columns and the table tells, as if by the manifest."""
    model = open_model(artifact)
    if table is None or model.signature.rank != 1:
        return model, artifact
    columns = _columns(model.signature, table, is_native=is_native(artifact.format))
    if columns == model.signature.columns:
        return model, artifact
    artifact = replace(artifact, columns=columns)
    return open_model(artifact), artifact


def _columns(signature: Signature, table: Table, *, is_native: bool) -> tuple[InputColumn, ...]:
    """Name the columns as the table does if the model does not; tell those that hold texts."""
    if not signature.columns:
        columns = table.columns
        widths = (0, len(columns)) if is_native else (len(columns),)
        return columns if signature.width in widths else ()
    if not is_native:
        return signature.columns
    return tuple(
        replace(each, is_text=True) if _may_be_text(each) and table.holds_texts(each.name) else each
        for each in signature.columns
    )


def _may_be_text(column: InputColumn) -> bool:
    """Tell whether nothing says what a column holds."""
    return column.is_used and not column.is_text and not column.type


def _golden(model: Model, table: Table | None, *, makes_up: bool) -> _Golden:
    if table is not None and not makes_up:
        inputs = table.inputs(model.signature)
        places = spread(len(inputs))
        return _answered(model, [inputs[i] for i in places], [i + 1 for i in places])
    inputs = make_up(model, MOST_GOLDEN)
    whole = [[float(round(value)) for value in row] for row in inputs if isinstance(row, list)]
    for rows in filter(None, (inputs, whole)):
        try:
            return _answered(model, rows, ())
        except LoadFailed:
            continue
    return _Golden([], [])


def _answered(model: Model, inputs: list[Any], numbers: Sequence[int]) -> _Golden:
    """Keep the rows that the model answers; raises `LoadFailed` if there is none."""
    outputs: list[Any] = []
    kept = []
    problem = ""
    for index, row in enumerate(inputs):
        try:
            outputs += _ask(model, [row])
        except Exception as error:
            # A model may raise anything on a row that it does not take.
            problem = problem or f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            continue
        kept.append(index)
    if not kept:
        raise LoadFailed(
            f"it answers none of the {len(inputs)} rows that it was tried with: {problem}"
        )
    return _Golden(
        [inputs[i] for i in kept], outputs, tuple(numbers[i] for i in kept) if numbers else ()
    )


def _ask(model: Model, inputs: list[Any]) -> list[Any]:
    rows = to_rows(model.signature, inputs)
    return as_plain(model.predict(rows), len(inputs))


def _is_steady(model: Model, golden: _Golden) -> bool:
    """Ask for all rows at once, which is also how they are checked at each load."""
    if not golden.inputs:
        return True
    again = _ask(model, golden.inputs)
    return all(map(is_same, golden.outputs, again))


def _check_answers(golden: _Golden, path: str, taken: str) -> None:
    """Raise `LoadFailed` where the model answered otherwise before it was stored."""
    answers = json.loads(Path(path).read_bytes())
    for number, found in zip(golden.numbers, golden.outputs, strict=False):
        expected = answers.get(str(number), found)
        if not is_same(expected, found):
            raise LoadFailed(
                f"row {number} of the samples: the model answers {json.dumps(expected)} to it, and "
                f"{json.dumps(found)} to it as {taken}, which is how it is served: have the model "
                "convert its columns itself"
            )


def _taken(model: Model, artifact: Artifact) -> str:
    """Say what a native model is given."""
    if model.signature.rank == 0:
        return "a text"
    if not getattr(model, "takes_frames", False):
        return "an array of float64"
    columns = zip(model.signature.columns, _types(model, artifact), strict=True)
    return f"a frame of {', '.join(f'{each.name} ({kind})' for each, kind in columns)}"


def _types(model: Model, artifact: Artifact) -> tuple[str, ...]:
    is_narrow = not is_native(artifact.format) and model.signature.precision == 32
    number = "float32" if is_narrow else "float64"
    columns = model.signature.columns
    return tuple("string" if each.is_text else each.type or number for each in columns)


def _kind(signature: Signature, golden: _Golden) -> str:
    if signature.classes or any(isinstance(each, str | bool) for each in golden.outputs):
        return "classes"
    flat = np.ravel(np.array(golden.outputs, dtype=object)) if golden.outputs else ()
    return "numbers" if any(isinstance(each, float) for each in flat) else ""


def _libraries(model: Model, artifact: Artifact) -> tuple[Library, ...]:
    """Name what the model needs: the packages that its pickle names and that are imported."""
    from importlib.metadata import packages_distributions, version

    if not is_native(artifact.format):
        return tuple(Library(name, version(name)) for name in libraries_of(artifact.format))
    named = find_globals(Path(artifact.path)) if executes_code(artifact.format) else ()
    asked = (*named, type(getattr(model, "estimator", 0)).__module__)
    modules = {name.partition(".")[0] for name in asked} & sys.modules.keys()
    known = packages_distributions()
    names = {known[module][0] for module in modules | {"numpy"} if module in known}
    return tuple(Library(name, version(name)) for name in sorted(names - {"modeld"}, key=str.lower))
