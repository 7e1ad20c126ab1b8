"""Ask skl2onnx for an ONNX graph of an estimator; it says nothing to anybody.

Three ways, from the most faithful to the plainest: `casts` takes doubles and has our own
converters for trees, `double` takes doubles with skl2onnx's own, `float` takes floats.
"""

import contextlib
import copy
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
    except CompileFailed:
        raise
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
    estimator = _without_transform(_answering(estimator))
    for wanted in _options(estimator):
        # A converter that does not know an option raises a NameError.
        with contextlib.suppress(NameError):
            return convert_sklearn(
                estimator,
                name="model",
                initial_types=[("rows", kind([None, width]))],
                target_opset=_OPSETS,
                options=wanted,
                **options,
            )
    raise CompileFailed(f"no options suit {type(estimator).__name__}")


def _options(estimator: Any) -> list[dict[Any, Any] | None]:
    """What to ask of a classifier, the best first: each converter knows other options.

    Plain arrays; and where nobody sees probabilities, labels by scores that don't saturate.
    """
    if not hasattr(estimator, "classes_"):
        return [None]
    plain, raw = {"zipmap": False}, {"raw_scores": True}
    last = getattr(estimator, "steps", [(None, estimator)])[-1][1]
    by_scores = [] if hasattr(estimator, "predict_proba") else [{**plain, **raw}, raw]
    return [*({id(last): options} for options in by_scores), plain, None]


def _answering(estimator: Any) -> Any:
    """Give the model that answers for one which only trains it, or changes nothing."""
    kind = type(estimator).__name__
    if kind == "SelfTrainingClassifier":
        return estimator.estimator_
    if kind == "TransformedTargetRegressor":
        transformer = estimator.transformer_
        is_plain = [getattr(transformer, f, 0) is None for f in ("func", "inverse_func")]
        return estimator.regressor_ if all(is_plain) else estimator
    return estimator


def _without_transform(estimator: Any) -> Any:
    """Set what only `transform` reads as skl2onnx wants it, in a copy."""
    if not getattr(estimator, "flatten_transform", False):
        return estimator
    copied = copy.copy(estimator)
    copied.flatten_transform = False
    return copied


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
