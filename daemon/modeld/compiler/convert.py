"""Ask skl2onnx for an ONNX graph of an estimator; it says nothing to anybody.

Three ways, from the most faithful to the plainest: `casts` takes doubles and has our own
converters for trees, `double` takes doubles with skl2onnx's own, `float` takes floats.
Encoders and imputers are our own in all of them.
"""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from modeld.compiler.anatomy import steps_of
from modeld.domain import Signature
from modeld.errors import CompileFailed
from modeld.runtimes.columns import takes_frames

WAYS = ("casts", "double", "float")

_SEARCHES = ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")

# What onnxruntime and skl2onnx of the oldest versions that are allowed know alike.
_OPSETS = {"": 18, "ai.onnx.ml": 3}


def convert(estimator: Any, signature: Signature, way: str) -> Any:
    """Convert a fitted estimator that takes rows of columns; raises `CompileFailed`."""
    try:
        with _quiet():
            return _convert(estimator, signature, way)
    except CompileFailed:
        raise
    except ImportError as error:
        raise CompileFailed(f"skl2onnx is not installed here: {error}") from error
    except Exception as error:
        # Converters are a large body of code; whatever one raises, it did not convert.
        raise CompileFailed(_why(error, estimator)) from error


def _convert(estimator: Any, signature: Signature, way: str) -> Any:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    from sklearn.compose import ColumnTransformer

    from modeld.compiler.column_parser import ColumnParser
    from modeld.compiler.tensors import tensors_of

    kind = FloatTensorType if way == "float" else DoubleTensorType
    tensors = tensors_of(signature)
    parser = ColumnParser(tensors.sources, signature.columns, kind)
    found: dict[str, Any] = {
        "name": "model",
        "initial_types": tensors.types(kind),
        "target_opset": _OPSETS,
        "custom_parsers": {ColumnTransformer: parser},
        **_converters(way, kind),
    }
    estimator = _without_transform(_answering(estimator))
    if (signature.is_mixed or takes_frames(estimator)) and not steps_of(estimator):
        raise CompileFailed(
            f"a {type(estimator).__name__} around what chooses columns is not compiled: choose "
            "them in a pipeline in front of it"
        )
    model = _converted(estimator, found)
    if signature.is_mixed and not parser.was_asked:
        raise CompileFailed("its texts go into something else than a ColumnTransformer")
    tensors.mark(model)
    return model


def _converters(way: str, kind: Any) -> dict[str, Any]:
    from modeld.compiler import encoders, tree_converters

    functions, shapes = encoders.converters(kind)
    if way == "casts":
        functions |= tree_converters.CONVERTERS
        shapes |= tree_converters.SHAPES
    return {"custom_conversion_functions": functions, "custom_shape_calculators": shapes}


def _converted(estimator: Any, found: dict[str, Any]) -> Any:
    from skl2onnx import convert_sklearn

    for wanted in _options(estimator):
        # A converter that does not know an option raises a NameError.
        with contextlib.suppress(NameError):
            return convert_sklearn(estimator, options=wanted, **found)
    raise CompileFailed(f"no options suit {type(estimator).__name__}")


def _options(estimator: Any) -> list[dict[Any, Any] | None]:
    """What to ask of a classifier, the best first: each converter knows other options.

    Plain arrays; and where nobody sees probabilities, labels by scores that don't saturate.
    """
    if not hasattr(estimator, "classes_"):
        return [None]
    plain, raw = {"zipmap": False}, {"raw_scores": True}
    last = _last(estimator)
    by_scores = [] if hasattr(estimator, "predict_proba") else [{**plain, **raw}, raw]
    return [*({id(last): options} for options in by_scores), plain, None]


def _last(estimator: Any) -> Any:
    while getattr(estimator, "steps", None):
        estimator = estimator.steps[-1][1]
    return estimator


def _answering(estimator: Any) -> Any:
    """Give the model that answers for one which only trains it, or changes nothing."""
    kind = type(estimator).__name__
    if kind in _SEARCHES and hasattr(estimator, "best_estimator_"):
        return _answering(estimator.best_estimator_)
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
