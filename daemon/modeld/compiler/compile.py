"""Compile a native model to ONNX, if that answers the same.

Every candidate passes the whole proof or is dropped; the first that passes is taken. None
passing is no misfortune: the native model goes on serving, and the reason is shown.
"""

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from modeld.compiler.anatomy import steps_of
from modeld.compiler.convert import WAYS, convert
from modeld.compiler.graph import finish, has_endless_thresholds, has_exact_trees, has_trees
from modeld.compiler.probes import probe, unseen
from modeld.compiler.proof import Expected, expect, failure, join, prove
from modeld.compiler.sureness import check_each_is_answered
from modeld.domain import Proof
from modeld.errors import CompileFailed, LoadFailed
from modeld.runtimes.golden import Samples, to_rows
from modeld.runtimes.model import Array, Model, Rows
from modeld.runtimes.native import NativeModel

if TYPE_CHECKING:
    # Not at run time: it imports onnxruntime at its start.
    from modeld.runtimes.compiled import CompiledModel

_ENOUGH = 1000
_NATIVE_SECONDS = 10.0
"""How long a slow native model may be asked for more than the rows that a proof needs."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """An ONNX model that answers like the native one, and how that was found.

    `way` is the candidate that passed: `casts`, `double` or `float`. `rows` is how many rows
    were compared; `greatest_difference` is the greatest of a number among all their answers.
    """

    model: bytes
    way: str
    rows: int
    greatest_difference: float


def compile_model(model: NativeModel, samples: Samples | None) -> Compiled:
    """Make an ONNX model with equal answers; raises `CompileFailed` with the reason."""
    if model.signature.rank != 1 or not model.signature.width:
        raise CompileFailed("only models of rows of numbers and texts are compiled")
    golden = None if samples is None else to_rows(model.signature, samples.inputs)
    expected: Expected | None = None
    reasons: list[CompileFailed] = []
    unequal: list[CompileFailed] = []
    for way, graph in _graphs(model, reasons):
        if model.takes_frames and expected is None:
            check_each_is_answered(model, golden)
        expected = expected or _expected(model, golden)
        try:
            return _prove(model, way, graph, expected)
        except CompileFailed as error:
            unequal.append(error)
    raise [*unequal, *reasons][0]


def prove_compiled(model: Model, candidate: "CompiledModel", samples: Samples | None) -> Proof:
    """Compare a model that was compiled earlier with its native one, as if it were new.

    Raises `CompileFailed` where the answers differ.
    """
    if not isinstance(model, NativeModel):
        raise CompileFailed("only a version in a native format has a compiled file")
    golden = None if samples is None else to_rows(model.signature, samples.inputs)
    expected = _expected(model, golden)
    greatest = prove(candidate, expected, has_labels=bool(model.signature.classes))
    return Proof(candidate.proof.way, len(expected.rows), greatest)


def _graphs(model: NativeModel, reasons: list[CompileFailed]) -> Iterator[tuple[str, Any]]:
    """Convert in every way that there is; a way that changes nothing counts as the plainer.

    What cannot be converted goes to `reasons`.
    """
    has_plain = False
    for way in WAYS:
        if way == "double" and has_plain:
            continue
        try:
            graph = convert(model.estimator, model.signature, way)
            if way == "float" and has_trees(graph) and steps_of(model.estimator)[1:]:
                # Behind other steps, not every row at which they change their mind is found.
                raise CompileFailed("its trees would be given numbers of 32 bits")
        except CompileFailed as error:
            reasons.append(error)
            continue
        is_plain = way == "casts" and not has_exact_trees(graph)
        has_plain = has_plain or is_plain
        yield ("double" if is_plain else way), graph
        if has_endless_thresholds(graph):
            # skl2onnx's own converters never come back from one.
            return


def _expected(model: NativeModel, golden: Rows | None) -> Expected:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = probe(model, golden)
        end = time.perf_counter() + _NATIVE_SECONDS
        expected = expect(model, rows, lambda: time.perf_counter() > end)
    if len(expected.rows) < _ENOUGH:
        raise CompileFailed(
            f"the native model answers only {len(expected.rows):,} of the {len(rows):,} rows "
            f"that it was tried with, fewer than {_ENOUGH:,}"
        )
    return _with_unseen(model, expected, unseen(model, golden))


def _with_unseen(model: NativeModel, expected: Expected, rows: Array) -> Expected:
    """Ask what no encoder has seen: a step in front of one may make of it what it has seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        has_failed = np.array([failure(model, row) is not None for row in rows], bool)
        expected = replace(expected, refused=rows[has_failed])
        answered = rows[~has_failed]
        return (
            join([expected, expect(model, answered, lambda: False)]) if len(answered) else expected
        )


def _prove(model: NativeModel, way: str, graph: Any, expected: Expected) -> Compiled:
    from modeld.runtimes.onnx import OnnxModel

    signature = model.signature
    written = finish(
        graph,
        expected.answers.predictions,
        signature.classes,
        has_probabilities=signature.has_probabilities,
    )
    try:
        candidate = OnnxModel(written)
    except LoadFailed as error:
        raise CompileFailed(str(error)) from error
    greatest = prove(candidate, expected, has_labels=bool(signature.classes))
    return Compiled(written, way, len(expected.rows), greatest)
