"""Run ONNX models; used by hosts and, for models that a host found harmless, by workers.

A model may have one tensor as input (its first axis counts rows) or one column per
input. A first output of whole numbers or texts with a second one beside it is a label
with its probabilities; otherwise the first output is the prediction. A model that the
compiler made says so of itself, and its second output is always the probabilities: its
labels may be fractions.
"""

from typing import Any

import numpy as np
import onnxruntime

from modeld.domain import InputColumn, Signature
from modeld.errors import LoadFailed, OutOfRange
from modeld.runtimes.model import COMPILED, Array, Rows

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
_LABELS = ("tensor(int64)", "tensor(int32)", "tensor(string)", "tensor(bool)")


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
            raise LoadFailed(f"onnxruntime cannot open it: {first_line(error)}") from error
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        # What wraps it checks the names of the inputs, which are right here, in a third of
        # the time of a small model. It is not public, so it may be missing.
        self._run = getattr(self._session, "_sess", self._session).run
        self._read_inputs()
        self._read_outputs()
        self.signature = self._signature()

    def predict(self, rows: Rows) -> Any:
        """Give the label, or the first output."""
        return self._run(self._prediction, self._feed(rows), None)[0]

    def probabilities(self, rows: Rows) -> Any:
        """Give the second output as a matrix."""
        answer = self._run(self._scores, self._feed(rows), None)[0]
        if isinstance(answer, list):
            return np.array([list(row.values()) for row in answer])
        return answer

    def _read_inputs(self) -> None:
        inputs = self._session.get_inputs()
        for value in inputs:
            if value.type not in _TYPES:
                raise LoadFailed(f"input '{value.name}' is a {value.type}: numbers are supported")
        self._inputs = [(value.name, _TYPES[value.type]) for value in inputs]
        # What rows are best made of: they are then used as they are.
        is_narrow = len(inputs) == 1 and inputs[0].type == "tensor(float)"
        self.row_type: Any = np.float32 if is_narrow else np.float64
        self._shapes = [list(value.shape) for value in inputs]
        if len(inputs) > 1 and any(len(s) > 1 and s[1] != 1 for s in self._shapes):
            raise LoadFailed("several inputs are supported when each is one column")

    def _read_outputs(self) -> None:
        outputs = self._session.get_outputs()
        self._prediction = [outputs[0].name]
        is_compiled = COMPILED in self.metadata
        has_scores = len(outputs) > 1 and (is_compiled or outputs[0].type in _LABELS)
        self._scores = [outputs[1].name] if has_scores else []

    def _feed(self, rows: Rows) -> dict[str, Array]:
        if len(self._inputs) == 1:
            name, dtype = self._inputs[0]
            return {name: rows if rows.dtype == dtype else _fit(rows, dtype)}
        return {
            name: _fit(rows[:, i], dtype).reshape((-1, 1) if len(shape) > 1 else (-1,))
            for i, ((name, dtype), shape) in enumerate(zip(self._inputs, self._shapes, strict=True))
        }

    def _signature(self) -> Signature:
        single = len(self._inputs) == 1
        width: Any
        rank = max(len(self._shapes[0]) - 1, 1) if single else 1
        if not single:
            width = len(self._inputs)
        else:
            width = self._shapes[0][1] if len(self._shapes[0]) == 2 else 0
        columns = () if single else tuple(InputColumn(name) for name, _ in self._inputs)
        narrow = any(dtype is not np.float64 for _, dtype in self._inputs)
        return Signature(
            rank=rank,
            width=width if isinstance(width, int) else 0,
            columns=columns,
            has_probabilities=bool(self._scores),
            precision=32 if narrow else 64,
        )


def _fit(rows: Array, dtype: Any) -> Array:
    if issubclass(dtype, np.integer):
        limit = 2.0 ** (np.iinfo(dtype).bits - 1)
        # Written so that NaN fails as well.
        if not ((rows == np.trunc(rows)) & (rows >= -limit) & (rows < limit)).all():
            raise OutOfRange(f"this model takes whole numbers of {np.iinfo(dtype).bits} bits")
    return rows.astype(dtype, copy=False)


def first_line(error: Exception) -> str:
    """Shorten an error of a library to one readable line."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
