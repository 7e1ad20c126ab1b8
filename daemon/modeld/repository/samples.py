"""Read the golden samples: rows whose answers are known.

    {"inputs": [[5.1, 3.5, 1.4, 0.2]], "outputs": [0]}

An input is a row as `/predict` takes it, so that JSON's own rules hold: no NaN,
no key given twice, UTF-8.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

from modeld.errors import ManifestInvalid
from modeld.repository.files import VersionFolder

MOST_BYTES = 64 << 20

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_FORM = '{"inputs": [[5.1, 3.5], …], "outputs": [0, …]}'


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows, and the answer that each must get."""

    inputs: tuple[Json, ...]
    outputs: tuple[Json, ...]


def read_samples(path: Path) -> Samples:
    """Read a samples file. Raises `ManifestInvalid`, which names it."""
    with VersionFolder(path.parent, path.parent.name) as folder:
        content = folder.read(path.name, limit=MOST_BYTES)
    try:
        return _samples(_parse(content))
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"{path.name}: {_message(error)}") from error


def _parse(content: bytes) -> Json:
    value: Json = json.loads(
        content.decode("utf-8"),
        object_pairs_hook=_unique,
        parse_constant=_no_constant,
        parse_float=_finite,
    )
    return value


def _samples(value: Json) -> Samples:
    if not isinstance(value, dict) or value.keys() != {"inputs", "outputs"}:
        raise ValueError(f"expected {_FORM}")
    inputs, outputs = value["inputs"], value["outputs"]
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise ValueError(f"inputs and outputs must be lists: {_FORM}")
    if not inputs or len(inputs) != len(outputs):
        found = f"found {len(inputs)} inputs and {len(outputs)} outputs"
        raise ValueError(f"expected one output for each of at least one input, {found}")
    return Samples(tuple(inputs), tuple(outputs))


def _unique(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice in one object")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _message(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error)
