from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.domain import InputColumn, Signature
from modeld.errors import LoadFailed
from modeld.runtimes.golden import is_same, to_rows


@pytest.mark.parametrize(
    "row",
    [
        pytest.param([1, "x"], id="a text"),
        pytest.param([1, [2]], id="a list inside"),
        pytest.param({"a": 1, "c": 2}, id="a column that is missing"),
        pytest.param({"a": 1, "b": {}}, id="an object inside"),
    ],
)
def test_a_sample_that_is_no_row_is_refused(row: Any) -> None:
    signature = Signature(columns=(InputColumn("a"), InputColumn("b")))

    with pytest.raises(LoadFailed, match="golden sample"):
        to_rows(signature, [row])


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        (1, 1, True),
        (1, 2, False),
        (1.0, 1.0 + 1e-6, True),
        (1.0, 1.1, False),
        (1e9, 1e9 + 1, True),
        (0.0, 1e-7, True),
        (0.0, 1e-5, False),
        (3, 3.0, True),
        (3, 3.0 + 1e-6, True),
        (3, 4.0, False),
        (3.0, 3, True),
        (3.5, 3, False),
        ("a", "a", True),
        ("a", "b", False),
        ("1", 1, False),
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (0, False, False),
        (None, None, True),
        (None, 0, False),
        ([1.0, 2.0], [1.0, 2.0 + 1e-7], True),
        ([1.0, 2.0], [1.0], False),
        ([1.0], 1.0, False),
        ([["a"], [True]], [["a"], [True]], True),
        ([["a"], [True]], [["a"], [1]], False),
    ],
)
def test_answers_are_the_same_as_a_client_sees_them(expected: Any, found: Any, same: bool) -> None:
    assert is_same(expected, found) is same


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_every_answer_is_the_same_as_itself(answer: Any) -> None:
    assert is_same(answer, answer)
