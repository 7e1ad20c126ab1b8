"""Run ONNX models; used by hosts and, for models that a host found harmless, by workers.

`onnx_inputs` says what may be put in, `onnx_outputs` what its answer is.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnxruntime

from modeld.domain import Artifact
from modeld.errors import LoadFailed, ModelError
from modeld.runtimes.model import COMPILED, PLACES, Array, Rows, first_line
from modeld.runtimes.onnx_inputs import read_inputs
from modeld.runtimes.onnx_outputs import Outputs, as_matrix
from modeld.runtimes.refusal import find_refusal

Run = Callable[[list[str], dict[str, Array], Any], Any]


class OnnxModel:
    """An inference session with one thread, from a path or from the bytes of a file."""

    def __init__(self, source: str | bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # Where the private copy lies helps nobody.
            reason = first_line(error, hidden=str(source) if isinstance(source, str) else "")
            raise LoadFailed(f"onnxruntime cannot open it: {reason}") from error
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        # What wraps it checks the names of the inputs, which are right here, in a third of
        # the time of a small model. It is not public, so it may be missing.
        self._run: Run = getattr(self._session, "_sess", self._session).run
        values = self._session.get_inputs()
        if not values:
            raise LoadFailed("it has no inputs")
        inputs = read_inputs(values, self.metadata.get(PLACES, ""))
        self._feed, self.row_type = inputs.feed, inputs.row_type
        rows_at_once = values[0].shape[0] if values[0].shape else 1
        if isinstance(rows_at_once, int):
            self._run = partial(_in_parts, self._run, rows_at_once)
        outputs = Outputs(self._session.get_outputs(), is_compiled=COMPILED in self.metadata)
        self._answer, self._scores, self._by_name = outputs.answer, outputs.scores, outputs.by_name
        self.signature = replace(inputs.signature, has_probabilities=bool(self._scores))

    def predict(self, rows: Rows) -> Any:
        """Give the label, or what the outputs are."""
        try:
            answers = self._run(self._answer, self._feed(rows), None)
        except Exception as error:
            _check_refusal(error)
            raise
        return answers[0] if len(answers) == 1 else self._by_name(answers, len(rows))

    def probabilities(self, rows: Rows) -> Any:
        """Give what each class got, as a matrix."""
        try:
            return as_matrix(self._run(self._scores, self._feed(rows), None)[0])
        except Exception as error:
            _check_refusal(error)
            raise


def open_onnx(artifact: Artifact) -> OnnxModel:
    """Open a staged file in a host; raises `LoadFailed`."""
    from modeld.runtimes.onnx_graph import check_external

    check_external(artifact.path)
    model = OnnxModel(artifact.path)
    columns, width = artifact.columns, model.signature.width
    if not columns:
        return model
    known = [column.name for column in model.signature.columns]
    if known and {column.name for column in columns} != set(known):
        raise LoadFailed(f"model.yaml must name the inputs as the model does: {', '.join(known)}")
    if len(columns) != width or model.signature.rank != 1:
        raise LoadFailed(
            f"model.yaml names {len(columns)} inputs, the model takes {width or 'one'}"
        )
    if not known:
        if model.signature.takes_truths:
            columns = tuple(replace(column, type="bool") for column in columns)
        model.signature = model.signature.with_columns(columns)
    return model


def _check_refusal(error: Exception) -> None:
    """Raise `ModelError` instead where the model was compiled to fail there."""
    refusal = find_refusal(error)
    if refusal:
        raise ModelError(refusal) from None


def _in_parts(run: Run, size: int, names: list[str], given: dict[str, Array], options: Any) -> Any:
    """Run a model that takes just so many rows at once, and put its answers together."""
    count = len(next(iter(given.values())))
    parts = []
    for start in range(0, count, size):
        part = {name: _filled_up(rows[start : start + size], size) for name, rows in given.items()}
        parts.append([_of_rows(answer, size) for answer in run(names, part, options)])
    return [_joined(answers)[:count] for answers in zip(*parts, strict=True)]


def _filled_up(rows: Array, size: int) -> Array:
    missing = size - len(rows)
    return rows if not missing else np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])


def _of_rows(answer: Any, size: int) -> Any:
    """A model of one row may leave out the axis that counts them."""
    return answer if size > 1 or len(answer) == 1 else answer[np.newaxis]


def _joined(answers: tuple[Any, ...]) -> Any:
    if isinstance(answers[0], list):
        return [row for answer in answers for row in answer]
    return np.concatenate(answers)
