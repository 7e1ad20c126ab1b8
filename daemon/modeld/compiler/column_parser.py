"""Tell skl2onnx what a ColumnTransformer does with the columns of a row.

A row of texts and numbers goes in as two tensors, one of each: each tensor costs a
microsecond or two, and a table has many columns. skl2onnx's own parser wants a tensor for
each column, and leaves columns in the order in which they came.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from skl2onnx._parse import _parse_sklearn

from modeld.compiler.anatomy import steps_of
from modeld.domain import InputColumn
from modeld.errors import CompileFailed
from modeld.runtimes.columns import places

_ENCODERS = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
_KEEPING = ("SimpleImputer",)
_SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")
_EXACT = (*_ENCODERS, *_KEEPING, *_SCALERS, "FunctionTransformer")
"""What gives numbers on with all their bits."""


class ColumnParser:
    """Parses the ColumnTransformers that see a row first.

    `sources` has, for each place in a row, the tensor and the place in it; `None` where
    nothing is given, as the model does not look. `kind` is skl2onnx's tensor of numbers.
    """

    def __init__(
        self,
        sources: Sequence[tuple[str, int] | None],
        columns: Sequence[InputColumn],
        kind: Any,
    ) -> None:
        self._sources = sources
        self._columns = columns
        self._kind = kind
        self.was_asked = False

    def __call__(
        self, scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None
    ) -> list[Any]:
        """Give the variables that the transformer makes."""
        by_name = {each.raw_name: each for each in inputs}
        if not by_name.keys() >= {source[0] for source in self._sources if source}:
            raise CompileFailed("a ColumnTransformer behind other steps is not compiled")
        if model.transformer_weights:
            raise CompileFailed("a ColumnTransformer with weights is not compiled")
        self.was_asked = True
        outputs = []
        for part, columns in self._parts(model):
            self._check(part, columns)
            made = [self._picked(scope, by_name, *run) for run in self._runs(columns)]
            if not isinstance(part, str):
                made = _parse_sklearn(scope, part, made, custom_parsers=custom_parsers)[:1]
            outputs += made if _is_exact(part) else [self._cast(scope, each) for each in made]
        for each in outputs:
            # What comes behind asks for it before the encoders say what they make.
            each.set_type(self._kind([None, None]))
        return self._joined(scope, outputs)

    def _parts(self, model: Any) -> Iterator[tuple[Any, list[int]]]:
        names = list(getattr(model, "feature_names_in_", ()))
        for _, part, columns in model.transformers_:
            found = places(columns, len(self._sources), names)
            if found and part != "drop":
                yield part, found

    def _check(self, part: Any, columns: Sequence[int]) -> None:
        """Refuse what reads texts otherwise than as one of a few: no row could prove that."""
        texts = [self._columns[i].name for i in columns if self._is_text(i)]
        if not texts:
            return
        for step in steps_of(part) or [part]:
            kind = "passthrough" if isinstance(step, str) else type(step).__name__
            if kind in _ENCODERS:
                return
            if kind not in _KEEPING:
                raise CompileFailed(
                    f'the texts of "{texts[0]}" go through {kind}, and only those that go into '
                    f"{', '.join(_ENCODERS)} are compiled"
                )
        raise CompileFailed(f'nothing turns the texts of "{texts[0]}" into numbers')

    def _is_text(self, place: int) -> bool:
        return bool(self._columns) and self._columns[place].is_text

    def _runs(self, columns: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
        """Give columns as stretches of one tensor each."""
        found = [source for source in (self._sources[i] for i in columns) if source]
        for tensor, stretch in groupby(found, key=lambda source: source[0]):
            yield tensor, [place for _, place in stretch]

    def _picked(self, scope: Any, inputs: dict[str, Any], tensor: str, found: list[int]) -> Any:
        whole = inputs[tensor]
        if found == list(range(whole.type.shape[1])):
            return whole
        operator = scope.declare_local_operator("SklearnArrayFeatureExtractor")
        operator.inputs, operator.column_indices = [whole], found
        picked = scope.declare_local_variable("columns", whole.type.__class__([None, len(found)]))
        operator.outputs.append(picked)
        return picked

    def _cast(self, scope: Any, made: Any) -> Any:
        """Some of skl2onnx's converters answer in floats, and say that they do not."""
        operator = scope.declare_local_operator("SklearnCast")
        operator.inputs.append(made)
        operator.outputs.append(scope.declare_local_variable("cast", self._kind([None, None])))
        return operator.outputs[0]

    def _joined(self, scope: Any, outputs: list[Any]) -> list[Any]:
        if len(outputs) == 1:
            return outputs
        operator = scope.declare_local_operator("SklearnConcat")
        operator.inputs = outputs
        operator.outputs.append(scope.declare_local_variable("columns", self._kind([None, None])))
        return operator.outputs  # type: ignore[no-any-return]


def _is_exact(part: Any) -> bool:
    steps = steps_of(part) or [part]
    return isinstance(part, str) or type(steps[-1]).__name__ in _EXACT
