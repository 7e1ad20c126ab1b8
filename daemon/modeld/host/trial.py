"""Open a version and find out by trying what it takes, costs and answers.

Everything here runs in the host: whatever the model does, only this process is hurt.
"""

import contextlib
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np

from modeld.domain import Artifact, Signature
from modeld.errors import LoadFailed, ModeldError
from modeld.host.child import resident_bytes
from modeld.host.failures import describe
from modeld.host.making_up import make_up
from modeld.messages import Loaded
from modeld.runtimes.columns import as_object, to_table
from modeld.runtimes.drift import Drift
from modeld.runtimes.formats import COMPILED, libraries_of, open_model
from modeld.runtimes.golden import Samples, check_samples, read_samples, to_rows
from modeld.runtimes.model import Array, Model, Rows, as_array, first_line, pack
from modeld.runtimes.native import NativeModel

_TRIES, _TRY_SECONDS = 20, 0.1
_IN_PLACE_SECONDS = 0.001
_UNKNOWN_SECONDS = 1.0
_MAX_COLUMNS_TRIED = 64
_ROUNDING = 1e-3


def try_out(artifact: Artifact, inplace_max: int) -> tuple[Model, Loaded]:
    """Open the version, check its golden samples and measure it; raises `LoadFailed`."""
    started = time.perf_counter()
    before = resident_bytes()
    drift = Drift(artifact)
    model, samples, rows = _open(artifact, drift)
    row_seconds = _measure(model, rows)
    resident = max(resident_bytes() - before, 0)
    why_not = _why_not_in_place(artifact, row_seconds, resident, inplace_max)
    return model, Loaded(
        signature=model.signature,
        row_seconds=row_seconds,
        resident=resident,
        in_place=not why_not,
        why_not=why_not,
        libraries=_libraries(artifact),
        warnings=drift.differences(),
        seconds=time.perf_counter() - started,
        example=getattr(model, "example", "") or _example(model.signature, samples, rows),
        proof=getattr(model, "proof", None),
        why_native=why_native(model),
    )


def _open(artifact: Artifact, drift: Drift) -> tuple[Model, Samples | None, Rows | None]:
    """Open it and have it answer; what goes wrong may be the fault of other libraries."""
    try:
        with drift.noted():
            model = open_model(artifact)
        samples = read_samples(artifact.samples)
        rows = trial_rows(model, samples)
        if samples is not None:
            check_samples(model, samples)
        model.signature = complete(artifact, model, rows)
    except LoadFailed as error:
        raise drift.explain(error) from error
    except Exception as error:
        # Opening a pickle runs somebody's code, which may raise anything.
        if not drift.differences():
            raise
        raise drift.explain(LoadFailed(describe(error))) from error
    return model, samples, rows


def trial_rows(model: Model, samples: Samples | None) -> Rows | None:
    """Give rows to try a model with; none where it does not say what it takes."""
    if samples is not None:
        return to_rows(model.signature, samples.inputs)
    if isinstance(known := getattr(model, "known_row", None), np.ndarray):
        return known
    rows = _plain_rows(model)
    if rows is None or not isinstance(model, NativeModel) or _survives(model, rows):
        return rows
    # An encoder fails on a number that it has not seen, unless it was told to take any.
    made_up = make_up(model, 1)
    return to_rows(model.signature, made_up) if made_up else rows


def _plain_rows(model: Model) -> Rows | None:
    signature = model.signature
    if signature.rank == 0:
        return ["some text"]
    if signature.is_mixed:
        return to_table([_plain_row(model)])
    sizes = signature.shape if signature.rank > 1 else (signature.width,)
    return np.zeros((1, *sizes)) if sizes and all(sizes) else None


def _plain_row(model: Model) -> list[Any]:
    """Zeros for numbers, and texts that were seen in training."""
    seen = model.texts if isinstance(model, NativeModel) else {}
    return [seen.get(c.name, ("a",))[0] if c.is_text else 0.0 for c in model.signature.columns]


def complete(artifact: Artifact, model: Model, rows: Rows | None) -> Signature:
    """Add to the signature what only trying tells, and check that the model answers at all.

    A compiled model brings its native model's: by itself it would take more.
    """
    signature = replace(model.signature, ignores_extra=artifact.ignores_extra)
    if artifact.format == "onnx" and not signature.classes:
        from modeld.runtimes.onnx_graph import inspect

        signature = replace(signature, classes=artifact.classes or inspect(artifact.path).classes)
    if rows is None:
        return signature
    _answers(model, rows[:1])
    if artifact.format == COMPILED:
        return signature
    has_probabilities = _gives_probabilities(model, rows[:1], are_shares=artifact.format == "onnx")
    signature = replace(signature, has_probabilities=has_probabilities)
    if signature.rank != 1:
        return signature
    width = len(rows[0])
    # A label may come out for infinity too: where the input is known to be narrow, it is.
    is_wide = signature.precision == 64 and _survives(model, _filled(signature, rows, 1e300))
    precision = 64 if is_wide else 32
    return replace(signature, width=width, precision=precision, nullable=_nullable(model, rows))


def _answers(model: Model, rows: Rows) -> None:
    try:
        pack(as_array(model.predict(rows), len(rows)))
    except ModeldError:
        raise
    except Exception as error:
        raise LoadFailed(
            f"it fails on a first row: {type(error).__name__}: {first_line(error)}; where neither "
            "zeros nor what it was trained on is a row of its, give it one: samples.json"
        ) from error


def _gives_probabilities(model: Model, rows: Rows, *, are_shares: bool) -> bool:
    """Find out by trying. What a file calls a label's numbers may be scores or distances."""
    if not model.signature.has_probabilities:
        return False
    try:
        found = as_array(model.probabilities(rows), len(rows))
        return found.ndim == 2 and (not are_shares or _adds_up(found))
    except Exception:
        # Whatever a model raises when it has none; the answer is then `no_probabilities`.
        return False


def _adds_up(chances: Array) -> bool:
    in_range = (chances >= 0).all() and (chances <= 1 + _ROUNDING).all()
    return bool(in_range and np.allclose(chances.sum(axis=1), 1.0, atol=_ROUNDING))


def _survives(model: Model, rows: Rows) -> bool:
    try:
        with np.errstate(all="ignore"):
            pack(as_array(model.predict(rows), len(rows)))
    except Exception:
        # The model may raise anything on a value that it does not take.
        return False
    return True


def _filled(signature: Signature, rows: Rows, value: float) -> Rows:
    """Give the first row with this value in every column of numbers."""
    row = rows[:1].copy()
    texts = [column.is_text for column in signature.columns] if signature.is_mixed else []
    row[0, ~np.array(texts) if texts else slice(None)] = value
    return row


def _nullable(model: Model, rows: Rows) -> tuple[bool, ...]:
    """Find by trying which columns may be missing."""
    width = len(rows[0])
    signature = model.signature
    if not signature.is_mixed and _survives(model, _filled(signature, rows, np.nan)):
        return (True,) * width
    if width > _MAX_COLUMNS_TRIED:
        return (False,) * width
    found = []
    for column in range(width):
        row = rows[:1].copy()
        is_text = signature.is_mixed and signature.columns[column].is_text
        row[0, column] = None if is_text else np.nan
        found.append(_survives(model, row))
    return tuple(found)


def _measure(model: Model, rows: Rows | None) -> float:
    """Give the seconds that one row takes when it comes alone."""
    if rows is None:
        return _UNKNOWN_SECONDS
    best = float("inf")
    end = time.perf_counter() + _TRY_SECONDS
    for _ in range(_TRIES):
        started = time.perf_counter()
        model.predict(rows[:1])
        now = time.perf_counter()
        best = min(best, now - started)
        if now > end:
            break
    return best


def _why_not_in_place(artifact: Artifact, row_seconds: float, resident: int, limit: int) -> str:
    if artifact.format not in ("onnx", COMPILED):
        return "only ONNX models run in a worker"
    if row_seconds == _UNKNOWN_SECONDS:
        return "nothing says how long its rows are, so that none was tried: add samples.json"
    if row_seconds > _IN_PLACE_SECONDS:
        return f"a row takes {row_seconds * 1e3:.1f} ms, more than 1 ms"
    if resident > limit:
        return f"it takes {resident >> 20} MiB, more than {limit >> 20} MiB"
    from modeld.runtimes.onnx_graph import inspect

    return inspect(artifact.path).obstacle


def why_native(model: Model) -> str:
    """Say why compiling need not be tried: it spares the compiler what it cannot know."""
    if not isinstance(model, NativeModel):
        return ""
    kind = type(model.estimator)
    if kind.__module__.partition(".")[0] != "sklearn":
        return f"only scikit-learn's models are compiled, and this is a {kind.__qualname__}"
    if model.signature.rank != 1 or not model.signature.width:
        return "only models of rows of numbers and texts are compiled"
    return ""


def _libraries(artifact: Artifact) -> tuple[str, ...]:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in libraries_of(artifact.format):
        # An environment of a version's own may lack what its model does without.
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return tuple(found)


def _example(signature: Signature, samples: Samples | None, rows: Rows | None) -> str:
    """Give a row for people to try, as JSON."""
    if samples is not None:
        return json.dumps(samples.inputs[0])
    if rows is not None and signature.columns and not signature.is_plain:
        return json.dumps(as_object(rows[0].tolist(), signature.columns))
    if rows is not None and not isinstance(rows, list):
        return json.dumps(rows[0].tolist())
    return json.dumps("some text" if signature.rank == 0 else [0.0])
