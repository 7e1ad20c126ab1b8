"""Mark a compiled model with what it was made from, and read the mark.

The mark is JSON in the ONNX file's own metadata, so that the file tells by itself
whether it belongs to a version, and what the native model takes: a compiled model
answers `null` and huge numbers gladly where the native one refuses them.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from modeld.domain import InputColumn, Proof, Signature
from modeld.errors import CompileFailed

KEY = "modeld"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Stamp:
    """The mark. `digest` is that of the native version, `libraries` name what compiled it.

    `example` is a row for people to try, as JSON: only the native model knows which texts it has
    seen.
    """

    digest: str
    signature: Signature
    proof: Proof
    libraries: tuple[str, ...] = ()
    example: str = ""


def mark(model: bytes, stamp: Stamp) -> bytes:
    """Give the model with its mark."""
    import onnx

    marked = onnx.load_from_string(model)
    entry = marked.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps({"format": _FORMAT, **asdict(stamp)})
    content: bytes = marked.SerializeToString()
    return content


def read_stamp(text: str) -> Stamp:
    """Read a mark; raises `CompileFailed` for none or one that this modeld does not know."""
    try:
        content = json.loads(text)
        if content["format"] != _FORMAT:
            raise CompileFailed("it was compiled by another version of modeld: compile it again")
        return Stamp(
            content["digest"],
            _signature(content["signature"]),
            Proof(**content["proof"]),
            tuple(content["libraries"]),
            str(content.get("example", "")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CompileFailed("it does not say what it was compiled from") from error


def _signature(content: dict[str, Any]) -> Signature:
    columns = tuple(InputColumn(**column) for column in content["columns"])
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    return Signature(**content | lists | {"columns": columns})
