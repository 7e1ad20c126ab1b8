"""Convert scikit-learn's encoders and imputers in place of skl2onnx's own converters.

Those cut fractions off, round thresholds and what fills a gap to a float, and know no missing
texts. These ask the encoder itself what it makes of each category and of what it has not seen,
and look that up. `onnx_inputs` says what stands for a missing text.

An encoder that fails on what it has not seen is looked up in a table that has no place for it,
so that the compiled model fails as well; `refusal` says how that reads.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import Binarizer, OneHotEncoder, OrdinalEncoder, TargetEncoder

from modeld.compiler.anatomy import is_strict
from modeld.compiler.writer import Writer
from modeld.errors import CompileFailed
from modeld.runtimes.columns import is_missing, missing_text
from modeld.runtimes.model import Array
from modeld.runtimes.onnx_inputs import NULL
from modeld.runtimes.refusal import refusing_name

_NO_COLUMN = -1
_UNSEEN = f"{NULL}unseen"

Step = Callable[[Any, Any, Any], None]
Shape = Callable[[Any], None]


class _EncoderWriter(Writer):
    """Writes an encoder, column by column."""

    def __init__(self, scope: Any, operator: Any, container: Any, dtype: Any) -> None:
        super().__init__(scope, operator, container)
        self._operator = operator
        self.dtype = dtype
        self.is_strict = is_strict(self.model)

    def columns(self) -> Iterator[tuple[str, bool]]:
        """Give the name of each column, and whether it holds texts."""
        for each in self._operator.inputs:
            is_text = isinstance(each.type, StringTensorType)
            width = each.type.shape[1]
            for place in range(width):
                index = self.constant(np.array([place], np.int64))
                name = each.full_name
                yield (name if width == 1 else self.node("Gather", name, index, axis=1)), is_text

    def look_up(self, place: int, name: str, values: Array, *, is_text: bool) -> str:
        """Give the whole number that stands for a category; the last is for what is none.

        Where the encoder fails on that, so does the compiled model. `place` is the column's.
        """
        categories = self.model.categories_[place]
        if not self.is_strict:
            return self._number_of(name, categories, values, is_text=is_text)
        index = self._number_of(name, categories, np.arange(len(values)), is_text=is_text)
        known = self.constant(values[:-1])
        return self.node("Gather", known, index, name=refusing_name(self._column(place)))

    def _column(self, place: int) -> str:
        names = getattr(self.model, "feature_names_in_", ())
        return str(names[place]) if len(names) else str(place)

    def _number_of(self, name: str, categories: Array, values: Array, *, is_text: bool) -> str:
        if is_text:
            keys, places = _keys(categories)
            return self.ml_node(
                "LabelEncoder",
                name,
                keys_strings=keys,
                values_int64s=values[places].tolist(),
                default_int64=int(values[-1]),
            )
        # Counted from 1, so that a row of zeros is what is no category.
        counted = self.constant(np.arange(1.0, len(categories) + 1)[:, np.newaxis])
        matches = self.node("Cast", self.matches(name, categories), to=TensorProto.DOUBLE)
        place = self.node("Cast", self.node("MatMul", matches, counted), to=TensorProto.INT64)
        return self.node("Gather", self.constant(np.roll(values, 1)), place)

    def matches(self, name: str, categories: Array) -> str:
        """Tell of each category whether the number is it."""
        plain = np.array(categories, dtype=self.dtype)[np.newaxis]
        equal = self.node("Equal", name, self.constant(plain))
        if not np.isnan(plain).any():
            return equal
        is_gap = self.node("And", self.node("IsNaN", name), self.constant(np.isnan(plain)))
        return self.node("Or", equal, is_gap)

    def as_number(self, name: str, output: str = "") -> str:
        """Give truth values as numbers."""
        return self.node("Cast", name, output=output, to=_PROTO[self.dtype])

    def join(self, names: Sequence[str]) -> None:
        """Answer the columns side by side."""
        self.node("Concat", *names, output=self.outputs[0], axis=1)


_PROTO: dict[Any, Any] = {np.float64: TensorProto.DOUBLE, np.float32: TensorProto.FLOAT}


def _keys(categories: Array) -> tuple[list[bytes], list[int]]:
    """Give the texts of categories as bytes, and their places; a missing one has a text too."""
    keys, places = [], []
    for place, category in enumerate(categories):
        if is_missing(category):
            if not _is_null(category):
                continue
            keys.append(NULL.encode())
        elif isinstance(category, str) and not category.startswith(NULL):
            keys.append(category.encode())
        else:
            raise CompileFailed(f"the category {category!r} in a column of texts is not compiled")
        places.append(place)
    return keys, places


def _is_null(value: Any) -> bool:
    """Tell whether it is what the model is given for `null`: its library may know two of them."""
    return is_missing(value) and (value is None) == (missing_text() is None)


def _write_one_hot(writer: _EncoderWriter) -> None:
    found = []
    widths = writer.model._n_features_outs
    for place, (name, is_text) in enumerate(writer.columns()):
        categories = writer.model.categories_[place]
        width = widths[place]
        if not width and writer.is_strict:
            raise CompileFailed(
                "a column of one category, which is dropped, is not compiled where others fail"
            )
        if not width:
            continue
        chosen = _chosen_columns(writer.model, place)
        is_plain = np.array_equal(chosen, [*range(width), _NO_COLUMN])
        if is_plain and not is_text and not writer.is_strict:
            found.append(writer.as_number(writer.matches(name, categories)))
            continue
        column = writer.look_up(place, name, chosen, is_text=is_text)
        found.append(
            writer.as_number(writer.node("Equal", column, writer.constant(np.arange(width))))
        )
    writer.join(found)


def _write_numbers(writer: _EncoderWriter) -> None:
    """Write an encoder that makes one number of each category."""
    found = []
    for place, (name, is_text) in enumerate(writer.columns()):
        made = _tried(writer.model, place)
        if made.shape[1] != len(writer.model.categories_):
            raise CompileFailed("several numbers for a category are not compiled")
        values = made[:, place].astype(writer.dtype)
        numbers = np.arange(len(writer.model.categories_[place]) + 1)
        index = writer.look_up(place, name, numbers, is_text=is_text)
        found.append(writer.node("Gather", writer.constant(values), index))
    writer.join(found)


def _chosen_columns(encoder: Any, place: int) -> Array:
    """Say which column each category sets, counted from the first of its own; the last: none."""
    sparse = copy.deepcopy(encoder).set_output(transform="default").set_params(sparse_output=True)
    start = sum(encoder._n_features_outs[:place])
    width = encoder._n_features_outs[place]
    chosen = np.full(len(encoder.categories_[place]) + 1, _NO_COLUMN, np.int64)
    made = _tried(sparse, place).tocoo()
    is_own = (made.col >= start) & (made.col < start + width) & (made.data != 0)
    chosen[made.row[is_own]] = made.col[is_own] - start
    return chosen


def _tried(encoder: Any, place: int) -> Any:
    """Have the encoder answer each category of one column.

    The last is one that it has not seen, unless it fails on such.
    """
    columns = [np.asarray(each, dtype=object) for each in encoder.categories_]
    tried = columns[place]
    rows = np.empty((len(tried) + 1, len(columns)), dtype=object)
    rows[:] = [each[0] if len(each) else None for each in columns]
    rows[:-1, place] = tried
    rows[-1, place] = _unseen(tried)
    return encoder.transform(rows[:-1] if is_strict(encoder) else rows)


def _unseen(categories: Array) -> Any:
    if any(isinstance(each, str) for each in categories):
        return _UNSEEN
    numbers = [float(each) for each in categories if not is_missing(each)]
    return max(numbers, default=0.0) + 1.0


def _write_imputer(writer: _EncoderWriter) -> None:
    model = writer.model
    if len(writer.inputs) > 1 or model.add_indicator:
        raise CompileFailed(
            "an imputer of texts and numbers, or one with an indicator, is not compiled"
        )
    fills = np.asarray(model.statistics_)[np.newaxis]
    (name,) = writer.inputs
    if any(is_missing(each) for each in fills[0]):
        raise CompileFailed("an imputer of a column that was always empty is not compiled")
    if fills.dtype.kind in "OU" and any(isinstance(each, str) for each in fills[0]):
        is_gap = _is_missing_text(writer, name)
    else:
        fills = fills.astype(writer.dtype)
        is_gap = _is_missing_number(writer, name)
    writer.node("Where", is_gap, writer.constant(fills), name, output=writer.outputs[0])


def _is_missing_text(writer: _EncoderWriter, name: str) -> str:
    missing = writer.model.missing_values
    if is_missing(missing) and not _is_null(missing):
        raise CompileFailed(f"an imputer for {missing!r} in a column of texts is not compiled")
    key = NULL if is_missing(missing) else str(missing)
    mark = writer.ml_node(
        "LabelEncoder", name, keys_strings=[key.encode()], values_int64s=[1], default_int64=0
    )
    return writer.node("Cast", mark, to=TensorProto.BOOL)


def _is_missing_number(writer: _EncoderWriter, name: str) -> str:
    missing = writer.model.missing_values
    if is_missing(missing):
        return writer.node("IsNaN", name)
    return writer.node("Equal", name, writer.constant(np.array(missing, writer.dtype)))


def _write_binarizer(writer: _EncoderWriter) -> None:
    if len(writer.inputs) > 1:
        raise CompileFailed("a Binarizer of several tensors is not compiled")
    threshold = writer.constant(np.array(writer.model.threshold, writer.dtype))
    is_above = writer.node("Greater", writer.inputs[0], threshold)
    writer.as_number(is_above, output=writer.outputs[0])


def _shape_encoder(operator: Any, kind: Any) -> None:
    encoder = operator.raw_operator
    widths = getattr(encoder, "_n_features_outs", None)
    width = len(encoder.categories_) if widths is None else sum(widths)
    operator.outputs[0].type = kind([None, int(width)])


def _shape_imputer(operator: Any, kind: Any) -> None:
    is_text = isinstance(operator.inputs[0].type, StringTensorType)
    width = len(operator.raw_operator.statistics_)
    operator.outputs[0].type = (StringTensorType if is_text else kind)([None, width])


def _shape_binarizer(operator: Any, kind: Any) -> None:
    operator.outputs[0].type = kind([None, operator.inputs[0].type.shape[1]])


_SHAPES = {SimpleImputer: _shape_imputer, Binarizer: _shape_binarizer}
_WRITES: dict[type, Callable[[_EncoderWriter], None]] = {
    OneHotEncoder: _write_one_hot,
    OrdinalEncoder: _write_numbers,
    TargetEncoder: _write_numbers,
    SimpleImputer: _write_imputer,
    Binarizer: _write_binarizer,
}


def converters(kind: Any) -> tuple[dict[type, Step], dict[type, Shape]]:
    """Give the converters and the shapes; `kind` is skl2onnx's tensor of numbers."""
    dtype = np.float32 if kind is FloatTensorType else np.float64

    def step(write: Callable[[_EncoderWriter], None]) -> Step:
        return lambda scope, operator, container: write(
            _EncoderWriter(scope, operator, container, dtype)
        )

    def shape(of: type) -> Shape:
        calculate = _SHAPES.get(of, _shape_encoder)
        return lambda operator: calculate(operator, kind)

    return {of: step(write) for of, write in _WRITES.items()}, {of: shape(of) for of in _WRITES}
