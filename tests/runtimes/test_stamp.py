import json
from dataclasses import replace

import onnx
import pytest

from modeld.domain import InputColumn, Proof, Signature
from modeld.errors import CompileFailed
from modeld.runtimes.stamp import KEY, Stamp, mark, read_stamp
from tests.runtimes import onnx_files

STAMP = Stamp(
    digest="sha256:12",
    signature=Signature(
        width=2,
        columns=(InputColumn("a", nullable=True), InputColumn("b")),
        nullable=(True, False),
        classes=(False, True),
        has_probabilities=True,
        precision=32,
    ),
    proof=Proof("casts", 1234, 3e-8),
    libraries=("scikit-learn 1.9.1",),
)


def text_of(model: bytes) -> str:
    (entry,) = onnx.load_from_string(model).metadata_props
    assert entry.key == KEY
    return str(entry.value)


def test_a_mark_is_read_as_it_was_written() -> None:
    marked = mark(onnx_files.classifier().SerializeToString(), STAMP)

    assert read_stamp(text_of(marked)) == STAMP


@pytest.mark.parametrize(
    "classes", [(), (0, 1), (0.5, 1.5), ("no", "é"), (True, False), (1, 2.0, "3", None)]
)
def test_classes_keep_their_types(classes: tuple[bool | int | float | str | None, ...]) -> None:
    stamp = replace(STAMP, signature=replace(STAMP.signature, classes=classes))

    found = read_stamp(text_of(mark(onnx_files.classifier().SerializeToString(), stamp)))

    assert list(map(type, found.signature.classes)) == list(map(type, classes))
    assert found == stamp


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "{}", '{"format": 1}', json.dumps({"format": 1, "digest": "x"})],
)
def test_what_is_no_mark_is_refused(text: str) -> None:
    with pytest.raises(CompileFailed, match="what it was compiled from"):
        read_stamp(text)


def test_a_mark_of_another_format_is_refused() -> None:
    with pytest.raises(CompileFailed, match="another version of modeld"):
        read_stamp('{"format": 99}')
