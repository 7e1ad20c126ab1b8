"""Say which tensors a compiled model takes: one of numbers, or one of numbers and one of texts."""

import json
from dataclasses import dataclass
from typing import Any

from skl2onnx.common.data_types import StringTensorType

from modeld.domain import Signature
from modeld.runtimes.model import PLACES
from modeld.runtimes.onnx_inputs import NUMBERS, TEXTS

_ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Tensors:
    """The places in a row by the tensor that they go into.

    `sources` says the same by place: the tensor and the place in it, `None` for a column that
    the model does not look at.
    """

    places: dict[str, list[int]]
    sources: list[tuple[str, int] | None]

    def types(self, kind: Any) -> list[tuple[str, Any]]:
        """Give them as skl2onnx wants to know them; `kind` is its tensor of numbers."""
        return [
            (name, (StringTensorType if name == TEXTS else kind)([None, len(places)]))
            for name, places in self.places.items()
        ]

    def mark(self, model: Any) -> None:
        """Have a converted model say which columns it takes where."""
        if _ROWS not in self.places:
            entry = model.metadata_props.add()
            entry.key, entry.value = PLACES, json.dumps(self.places)


def tensors_of(signature: Signature) -> Tensors:
    """Part the columns of a row."""
    if not signature.is_mixed:
        everything = list(range(signature.width))
        return Tensors({_ROWS: everything}, [(_ROWS, place) for place in everything])
    places: dict[str, list[int]] = {}
    sources: list[tuple[str, int] | None] = []
    for place, column in enumerate(signature.columns):
        if not column.is_used:
            sources.append(None)
            continue
        found = places.setdefault(TEXTS if column.is_text else NUMBERS, [])
        sources.append((TEXTS if column.is_text else NUMBERS, len(found)))
        found.append(place)
    return Tensors(places, sources)
