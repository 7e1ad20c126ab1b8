import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.domain import Signature
from modeld.errors import ModelOutputInvalid
from modeld.http.wire import Predictions, Rows, encode
from modeld.messages import Values
from modeld.runtimes.model import as_array, as_scalars, first_line, pack, unpack


def through(answer: Any, rows: int) -> list[Any]:
    """What a client's side sees of a model's answer."""
    values, data = pack(as_array(answer, rows))
    assert values.size == len(data)
    return unpack(values, memoryview(data))


class Sparse:
    def todense(self) -> list[int]:
        return [1]


class Unwilling:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("no array today")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(np.array([1, 2]), [1, 2], id="whole numbers"),
        pytest.param(np.array([1, 2], np.int8), [1, 2], id="small whole numbers"),
        pytest.param(np.array([1, 2], ">i4"), [1, 2], id="the other byte order"),
        pytest.param(np.array([1, 2**64 - 1], np.uint64), [1, 2**64 - 1], id="large ones"),
        pytest.param(np.array([0.1, 0.2]), [0.1, 0.2], id="fractions"),
        pytest.param(np.array([0.5, 2], np.float32), [0.5, 2.0], id="short fractions"),
        pytest.param(np.array([0.5, 2], np.longdouble), [0.5, 2.0], id="long fractions"),
        pytest.param(np.array([True, False]), [True, False], id="truth values"),
        pytest.param(np.array(["a", "ü"]), ["a", "ü"], id="texts"),
        pytest.param(np.array(["a", None], object), ["a", None], id="objects"),
        pytest.param([[1, 2], [3, 4]], [[1, 2], [3, 4]], id="lists"),
        pytest.param(np.array([[1.5], [2.5]]), [1.5, 2.5], id="a matrix of one column"),
        pytest.param([[[1], [2]], [[3], [4]]], [[[1], [2]], [[3], [4]]], id="three dimensions"),
        pytest.param(np.array([np.int64(1), "a"], object), [1, "a"], id="numpy's scalars"),
        pytest.param(np.array([[1, 2], [3, 4]]).T, [[1, 3], [2, 4]], id="in column order"),
        pytest.param([{"a": 1}, {"b": [2]}], [{"a": 1}, {"b": [2]}], id="dictionaries"),
        pytest.param((1, 2), [1, 2], id="a tuple"),
    ],
)
def test_answers_arrive_as_the_model_gave_them(answer: Any, expected: list[Any]) -> None:
    found = through(answer, 2)

    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="nothing"),
        pytest.param(Sparse(), id="sparse"),
        pytest.param(Unwilling(), id="no array"),
        pytest.param(7, id="a number"),
        pytest.param("ab", id="a text"),
        pytest.param({1, 2}, id="a set"),
        pytest.param([1], id="too few"),
        pytest.param([1, 2, 3], id="too many"),
        pytest.param([[1, 2], [3]], id="ragged"),
        pytest.param([1.0, float("nan")], id="NaN"),
        pytest.param(np.array([np.float32("nan"), "a"], object), id="NaN among numpy's scalars"),
        pytest.param(np.array([np.datetime64("2026-01-01"), 1], object), id="a date among others"),
        pytest.param([1.0, float("-inf")], id="infinity"),
        pytest.param(np.array([1, np.longdouble("1e4000")]), id="infinite when shortened"),
        pytest.param(np.array([1.0, float("nan")], object), id="NaN among objects"),
        pytest.param([1j, 2], id="complex"),
        pytest.param([b"a", b"b"], id="bytes"),
        pytest.param([object(), object()], id="objects"),
        pytest.param(["\ud800", "a"], id="half a character"),
        pytest.param(np.array([10**30, 1], object), id="a number that no client reads"),
        pytest.param(np.array([{"a": [-(10**30)]}, 1], object), id="such a number inside"),
        pytest.param(np.array(["2020", "2021"], "datetime64[D]"), id="dates"),
        pytest.param(np.array(["2020", "2021"], "datetime64[ns]"), id="fine dates"),
        pytest.param(np.array([1, 2], "timedelta64[ns]"), id="spans of time"),
    ],
)
def test_what_json_cannot_say_is_refused(answer: Any) -> None:
    with pytest.raises(ModelOutputInvalid):
        through(answer, 2)


def test_a_model_is_told_what_shape_it_gave() -> None:
    with pytest.raises(ModelOutputInvalid, match=r"shape \(3,\) for 2 row"):
        as_array([1, 2, 3], 2)


@given(
    st.lists(
        st.one_of(
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(st.characters(codec=None)),
            st.none(),
            st.binary(max_size=2),
        ),
        max_size=4,
    )
)
def test_whatever_is_packed_can_be_written_to_a_client(answers: list[Any]) -> None:
    array = np.empty(len(answers), object)
    array[:] = answers

    try:
        found = through(array, len(answers))
    except ModelOutputInvalid:
        return

    assert found == answers
    encode(Predictions(found), Rows(array, len(answers), is_single=False), "v1", Signature())


@pytest.mark.parametrize(
    ("values", "data", "error"),
    [
        (Values("f8", (2,), 8), bytes(8), ValueError),
        (Values("f8", (1,), 7), bytes(7), ValueError),
        (Values("pickle", (1,), 4), b"\x80\x05N.", KeyError),
        (Values("json", (1,), 2), b"{}", ValueError),
        (Values("json", (1,), 1), b"[", ValueError),
    ],
)
def test_nonsense_is_not_unpacked(values: Values, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        unpack(values, memoryview(data))


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (np.array([0, 1]), (0, 1)),
        (np.array(["a", "b"]), ("a", "b")),
        (np.array([False, True]), (False, True)),
        (np.array([0.5, 1.5]), (0.5, 1.5)),
        ([np.array([0, 1]), np.array([0, 1])], ()),
        ([np.array([0, 1]), np.array([0])], ()),
        (np.array([None, "a"], object), ()),
        (3, ()),
        (None, ()),
        ((), ()),
    ],
)
def test_classes_are_plain_values_or_none_at_all(classes: Any, expected: tuple[Any, ...]) -> None:
    assert as_scalars(classes) == expected


def test_packing_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert through(np.array([1e-300, 2], np.longdouble), 2) == [1e-300, 2.0]


@pytest.mark.parametrize(
    ("text", "line"), [("one\ntwo", "one"), ("", "ValueError"), ("x" * 999, "x" * 200)]
)
def test_an_error_is_shortened_to_a_line(text: str, line: str) -> None:
    assert first_line(ValueError(text)) == line
