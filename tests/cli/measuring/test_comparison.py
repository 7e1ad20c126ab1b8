from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeld.cli.measuring.answered import SHOWN, Difference, Written
from modeld.cli.measuring.comparison import Comparison, compare, verdict
from modeld.errors import TableInvalid

Array = np.ndarray[Any, Any]
ROWS = 1000


def written(path: Path, answers: Array, truths: Array | None = None) -> Written:
    """Write as a host does, in parts."""
    with path.open("wb") as file:
        for start in range(0, len(answers), 300):
            for array in (answers, truths):
                if array is not None:
                    np.save(file, array[start : start + 300], allow_pickle=False)
    return Written(path, has_truths=truths is not None, has_losses=False)


def compared(
    folder: Path, first: Array, second: Array, truths: Array | None = None, *, is_classes: bool
) -> Comparison:
    one, two = (written(folder / str(i), a, truths) for i, a in enumerate((first, second)))
    return compare(one, two, is_classes=is_classes)


def right(share: float) -> Array:
    """Answers of which a share is 1, which is right."""
    return (np.arange(ROWS) >= ROWS * (1 - share)).astype(np.int64)


ONES = np.ones(ROWS)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (0.80, 0.90, "v2 is better: accuracy +10.0 points ("),
        (0.90, 0.80, "v2 is worse: accuracy -10.0 points ("),
        (0.90, 0.901, "no difference that 1,000 rows can show: accuracy +0.1 points (0.0 to 0.3)"),
        (0.90, 0.90, "no difference: v1 and v2 answer the same on all 1,000 rows"),
    ],
)
def test_the_verdict_on_classes(first: float, second: float, said: str, tmp_path: Path) -> None:
    found = compared(tmp_path, right(first), right(second), ONES, is_classes=True)

    assert verdict(found, "v1", "v2").startswith(said)


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ((1.0, 0.5), "v2 is better: MAE -0.5 (-0.5 to -0.5)"),
        ((0.5, 1.0), "v2 is worse: MAE +0.5 (0.5 to 0.5)"),
    ],
)
def test_the_verdict_on_numbers(errors: tuple[float, float], said: str, tmp_path: Path) -> None:
    truths = np.arange(float(ROWS))
    first, second = (truths + error for error in errors)

    found = compared(tmp_path, first, second, truths, is_classes=False)

    assert verdict(found, "v1", "v2") == said


def test_a_measure_that_says_otherwise_is_told(tmp_path: Path) -> None:
    """Better in the mean, and worse where it is wrong."""
    truths = np.random.default_rng(0).normal(size=ROWS)
    second = truths + np.where(np.arange(ROWS) % 20, 0.0, 10.0)

    found = compared(tmp_path, truths + 1, second, truths, is_classes=False)

    assert verdict(found, "v1", "v2").startswith("v2 is better: MAE -0.5 (")
    assert "; but RMSE +1.24 (" in verdict(found, "v1", "v2")
    assert "), which is worse" in verdict(found, "v1", "v2")


def test_few_rows_get_no_verdict(tmp_path: Path) -> None:
    found = compared(tmp_path, np.zeros(20), np.ones(20), np.ones(20), is_classes=True)

    assert verdict(found, "v1", "v2") == "20 rows are too few for a verdict; 30 are the least"


def test_without_a_target_there_is_agreement_alone(tmp_path: Path) -> None:
    found = compared(tmp_path, right(0.9), right(0.8), is_classes=True)

    assert not found.measured
    assert verdict(found, "v1", "v2").startswith("v1 and v2 agree on 90.0% of 1,000 rows; ")


def test_the_first_rows_that_differ_are_kept(tmp_path: Path) -> None:
    first, second = np.array(["a", "b"] * 400), np.array(["a", "ccc"] * 400)

    found = compared(tmp_path, first, second, first, is_classes=True).agreement

    assert found.share == 0.5
    assert [each.row for each in found.differences] == list(range(2, 2 + 2 * SHOWN, 2))
    assert found.differences[0] == Difference(2, "b", "ccc", "b")


def test_numbers_agree_within_the_tolerance_of_golden_samples(tmp_path: Path) -> None:
    first = np.array([1e6, 1e6, 0.0, 1.0])
    second = np.array([1e6 + 1, 1e6 + 100, 1e-7, 3.0])

    found = compared(tmp_path, first, second, is_classes=False).agreement

    assert [each.row for each in found.differences] == [2, 4]
    assert found.mean_distance == pytest.approx((1 + 100 + 2) / 4)


def test_several_answers_to_a_row_agree_when_all_do(tmp_path: Path) -> None:
    first, second = np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]])

    found = compared(tmp_path, first, second, is_classes=True).agreement

    assert found.differences == [Difference(2, [3, 4], [3, 5], None)]


def test_a_target_that_was_never_answered_is_refused(tmp_path: Path) -> None:
    texts = np.array(["yes", "no"])

    with pytest.raises(TableInvalid, match="the target has 0, 1, and the versions answer no, yes"):
        compared(tmp_path, texts, texts, np.array(["0", "1"]), is_classes=True)


def test_what_a_host_wrote_can_be_no_code(tmp_path: Path) -> None:
    path = tmp_path / "0"
    np.save(path, np.array([object], dtype=object), allow_pickle=True)
    path.with_suffix(".npy").rename(path)
    evil = Written(path, has_truths=False, has_losses=False)

    with pytest.raises(TableInvalid, match="is no array"):
        compare(evil, evil, is_classes=True)
