"""Write operators and constants into the graph that skl2onnx is building."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from modeld.runtimes.model import Array

_ML_VERSION = 3
"""What skl2onnx 1.20 lets one name."""


class Writer:
    """Writes what stands for one estimator: `model`, with the names of its inputs and outputs."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self._scope = scope
        self._container = container
        self.model = operator.raw_operator
        self.inputs = [each.full_name for each in operator.inputs]
        self.outputs = [each.full_name for each in operator.outputs]

    def node(self, kind: str, *inputs: str, output: str = "", name: str = "", **found: Any) -> str:
        """Add an operator with one output; gives the output's name."""
        output = output or self._scope.get_unique_variable_name(kind.lower())
        name = name or self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, list(inputs), [output], name=name, **found)
        return output

    def ml_node(self, kind: str, *inputs: str, **found: Any) -> str:
        """Add an operator of `ai.onnx.ml`."""
        return self.node(kind, *inputs, op_domain="ai.onnx.ml", op_version=_ML_VERSION, **found)

    def constant(self, values: Array | float) -> str:
        """Add a constant; gives its name."""
        name: str = self._scope.get_unique_variable_name("constant")
        array = np.asarray(values)
        content: Any = array.ravel()
        kind = TensorProto.STRING
        if array.dtype.kind in "UO":
            content = [str(value).encode() for value in content]
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self._container.add_initializer(name, kind, list(array.shape), content)
        return name
