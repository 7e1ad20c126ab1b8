"""Part rows of texts and numbers into the two tensors of a compiled model."""

from typing import NamedTuple

import numpy as np
import pytest

from modeld.runtimes.columns import to_table
from modeld.runtimes.onnx_inputs import NULL, NUMBERS, TEXTS, Table


class Value(NamedTuple):
    """What a session says of an input."""

    name: str
    type: str


BOTH = [Value(NUMBERS, "tensor(double)"), Value(TEXTS, "tensor(string)")]


@pytest.mark.parametrize("texts", [[1, 3], [3, 1], [1]])
def test_each_column_goes_into_its_tensor(texts: list[int]) -> None:
    rows = to_table([[1, "a", None, "é"], [2.5, "", 3, "\0"]])

    given = Table(BOTH, {NUMBERS: [0, 2], TEXTS: texts}).feed(rows)

    np.testing.assert_array_equal(given[NUMBERS], [[1, np.nan], [2.5, 3]])
    assert given[NUMBERS].dtype == np.float64
    assert given[TEXTS].tolist() == rows[:, texts].tolist()


def test_a_text_stands_for_a_missing_one_and_for_nothing_else() -> None:
    rows = to_table([[None, "a"], [NULL, "b"]])

    texts = Table(BOTH[1:], {TEXTS: [0, 1]}).feed(rows)[TEXTS].tolist()

    assert texts[0] == [NULL, "a"]
    assert texts[1][0] not in (NULL, None)
    assert texts[1][1] == "b"


def test_a_model_of_texts_alone_gets_no_numbers() -> None:
    assert list(Table(BOTH[1:], {TEXTS: [0]}).feed(to_table([["a"]]))) == [TEXTS]
