"""Run what the compiler made of a native model, as the native model would be run."""

import json
from dataclasses import replace

from modeld.domain import Artifact, InputColumn, Proof
from modeld.errors import CompileFailed
from modeld.runtimes.columns import order_columns
from modeld.runtimes.golden import to_rows
from modeld.runtimes.model import Rows
from modeld.runtimes.onnx import OnnxModel
from modeld.runtimes.stamp import KEY, Stamp, read_stamp


class CompiledModel(OnnxModel):
    """An inference session that takes and gives what its native model did.

    Raises `CompileFailed` for a file that was made from other bytes than the version's.
    """

    proof: Proof

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact.path)
        stamp = read_stamp(self.metadata.get(KEY, ""))
        if stamp.digest != artifact.digest:
            raise CompileFailed(
                f"it was compiled from other files ({stamp.digest[:19]}…) than those beside it "
                f"({artifact.digest[:19]}…)"
            )
        self.proof = stamp.proof
        self.known_row: Rows | None = _row(stamp)
        """A row that the native model answers; without one it may fail on any that is made up."""
        self.libraries = stamp.libraries
        signature = stamp.signature.with_columns(_columns(artifact, stamp.signature.columns))
        self.signature = replace(signature, classes=artifact.classes or signature.classes)
        is_named_so = _names(signature.columns) == _names(stamp.signature.columns)
        self.example = stamp.example if is_named_so else ""


def _row(stamp: Stamp) -> Rows | None:
    return to_rows(stamp.signature, [json.loads(stamp.example)]) if stamp.example else None


def _columns(artifact: Artifact, known: tuple[InputColumn, ...]) -> tuple[InputColumn, ...]:
    """Name the columns as the manifest does now; what was known of them stays."""
    given = order_columns(artifact.columns, _names(known))
    if known and len(given) == len(known):
        return tuple(
            replace(was, name=now.name, type=now.type)
            for was, now in zip(known, given, strict=True)
        )
    return given or known


def _names(columns: tuple[InputColumn, ...]) -> list[str]:
    return [column.name for column in columns]
