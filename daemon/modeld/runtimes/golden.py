"""Check that a version gives the answers that its golden samples promise."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modeld.domain import Signature
from modeld.errors import LoadFailed, SamplesDiffer
from modeld.runtimes.columns import listed, to_table
from modeld.runtimes.model import Model, Rows, as_array, pack, unpack

RELATIVE, ABSOLUTE = 1e-5, 1e-6
MOST_GOLDEN = 20
"""The rows that become golden samples, at most."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Golden inputs and the answers that a version must give."""

    inputs: list[Any]
    outputs: list[Any]


def spread(count: int) -> list[int]:
    """Give the places of the rows that become golden samples, of so many."""
    places: list[int] = np.unique(np.linspace(0, count - 1, MOST_GOLDEN).astype(int)).tolist()
    return places


def read_samples(path: str) -> Samples | None:
    """Read a version's samples; `None` when it has none. They were checked at the door."""
    if not path:
        return None
    content = json.loads(Path(path).read_bytes())
    return Samples(content["inputs"], content["outputs"])


def to_rows(signature: Signature, inputs: list[Any]) -> Rows:
    """Turn rows as `/predict` takes them into what a runtime takes."""
    if signature.rank == 0:
        return inputs
    try:
        rows = [listed(row, signature.columns) for row in inputs]
        return to_table(rows) if signature.is_mixed else np.array(rows, dtype=np.float64)
    except KeyError as error:
        raise LoadFailed(f"a golden sample lacks the column {error}") from error
    except (TypeError, ValueError) as error:
        raise LoadFailed(f"a golden sample is no row that it takes: {error}") from error


def check_samples(model: Model, samples: Samples) -> None:
    """Raise `SamplesDiffer` unless the model answers every sample as it should."""
    rows = to_rows(model.signature, samples.inputs)
    values, data = pack(as_array(model.predict(rows), len(rows)))
    answers = unpack(values, memoryview(data))
    for index, (expected, found) in enumerate(zip(samples.outputs, answers, strict=True)):
        if not is_same(expected, found):
            raise SamplesDiffer(
                f"golden sample {index + 1} of {len(answers)}: expected "
                f"{json.dumps(expected)}, the model answers {json.dumps(found)}"
            )


def is_same(expected: Any, found: Any) -> bool:
    """Compare two answers as a client sees them: labels exactly, fractions within 1e-5."""
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(is_same, expected, found))
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(
            is_same(value, found[name]) for name, value in expected.items()
        )
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, float):
        # Many programs write 3.0 as 3.
        return abs(expected - found) <= ABSOLUTE + RELATIVE * abs(expected)
    return bool(expected == found)
