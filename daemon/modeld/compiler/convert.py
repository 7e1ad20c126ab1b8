"""Ask skl2onnx for an ONNX graph of an estimator; it says nothing to anybody.

Three ways, from the most faithful to the plainest: `casts` takes doubles and has our own
converters for trees, `double` takes doubles with skl2onnx's own, `float` takes floats.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from modeld.errors import CompileFailed

WAYS = ("casts", "double", "float")

# What onnxruntime and skl2onnx of the oldest versions that are allowed know alike.
_OPSETS = {"": 18, "ai.onnx.ml": 3}


def convert(estimator: Any, width: int, way: str) -> Any:
    """Convert a fitted estimator that takes rows of `width` numbers; raises `CompileFailed`."""
    try:
        with _quiet():
            return _convert(estimator, width, way)
    except ImportError as error:
        raise CompileFailed(f"skl2onnx is not installed here: {error}") from error
    except Exception as error:
        # Converters are a large body of code; whatever one raises, it did not convert.
        raise CompileFailed(_why(error, estimator)) from error


def _convert(estimator: Any, width: int, way: str) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    kind = FloatTensorType if way == "float" else DoubleTensorType
    options: dict[Any, Any] = {}
    if way == "casts":
        from modeld.compiler.tree_converters import CONVERTERS, SHAPES

        options = {"custom_conversion_functions": CONVERTERS, "custom_shape_calculators": SHAPES}
    return convert_sklearn(
        estimator,
        name="model",
        initial_types=[("rows", kind([None, width]))],
        target_opset=_OPSETS,
        options={"zipmap": False} if hasattr(estimator, "classes_") else None,
        **options,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Converters warn, log and print; none of that is for an operator's eyes."""
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _why(error: Exception, estimator: Any) -> str:
    if type(error).__name__ in ("MissingShapeCalculator", "MissingConverter"):
        return f"skl2onnx has no converter for {_missing(str(error)) or type(estimator).__name__}"
    text = " ".join(str(error).split())
    return f"skl2onnx cannot convert it: {text[:200] or type(error).__name__}"


def _missing(text: str) -> str:
    """Find the class in `... for type '<class 'a.b.C'>' ...`."""
    _, _, rest = text.partition("<class '")
    return rest.partition("'")[0].rpartition(".")[2]
