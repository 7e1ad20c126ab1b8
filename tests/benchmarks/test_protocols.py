"""How each server is asked, and where its answer has the predictions."""

import pytest

from benchmarks.cases import BULK, BUSY
from benchmarks.errors import BenchmarkError
from benchmarks.protocols import (
    BENTOML,
    FASTAPI,
    LITSERVE,
    MLFLOW,
    MODELD,
    OPEN_INFERENCE,
    Protocol,
)

ROWS = ([1.0, 2.0], [3.0, 4.0])


def test_one_row_is_no_list_of_rows() -> None:
    assert MODELD.form(BUSY).body(ROWS[:1]) == {"features": ROWS[0]}
    assert MODELD.form(BULK).body(ROWS) == {"features": ROWS}


def test_a_tensor_is_flat_and_says_its_shape() -> None:
    (tensor,) = OPEN_INFERENCE.form(BULK).body(ROWS)["inputs"]

    assert (tensor["shape"], tensor["data"]) == ([2, 2], [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        (MODELD, {"predictions": [1, 0], "model_version": "v1"}),
        (FASTAPI, {"predictions": [1, 0]}),
        (OPEN_INFERENCE, {"outputs": [{"data": [1, 0]}]}),
        (BENTOML, [1, 0]),
        (MLFLOW, {"predictions": [1, 0]}),
    ],
)
def test_predictions_are_found_in_an_answer(protocol: Protocol, answer: object) -> None:
    assert list(protocol.form(BULK).read(answer)) == [1, 0]


def test_a_server_that_takes_no_many_rows_says_so() -> None:
    with pytest.raises(BenchmarkError):
        LITSERVE.form(BULK)
