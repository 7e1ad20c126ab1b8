"""The measures are those of scikit-learn, however many rows there are at a time."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from modeld.cli.measuring.measures import MOST_CLASSES, Measuring, OfClasses, OfNumbers, Part

Array = np.ndarray[Any, Any]


def measured(measuring: Measuring, part: Part, at_once: int) -> dict[str, list[float]]:
    """Add rows part by part; gives both versions' values and the difference by name."""
    for start in range(0, len(part.truths), at_once):
        here = slice(start, start + at_once)
        losses = [each if each is None else each[here] for each in part[3:]]
        measuring.add(Part(part.truths[here], part.first[here], part.second[here], *losses))
    values = measuring.compute(measuring.sums().sum(axis=0)[None, :])[0]
    count = len(measuring.measures)
    return {
        measure.name: values[index::count].tolist()
        for index, measure in enumerate(measuring.measures)
    }


@pytest.mark.parametrize("rows", [10, 9000])
@pytest.mark.parametrize("labels", [["a", "b", "cc"], [0.0, 1.0], [3.0, 7.0, 8.0, 9.0]])
def test_classes_are_measured_as_scikit_learn_does(labels: list[Any], rows: int) -> None:
    random = np.random.default_rng(0)
    classes = np.array(labels)
    truths, first = (classes[random.integers(len(labels) - 1, size=rows)] for _ in range(2))
    second = np.where(random.random(rows) < 0.5, truths, classes[-1])
    losses = random.random((2, rows))

    found = measured(
        OfClasses(classes, has_losses=True), Part(truths, first, second, *losses), at_once=700
    )

    for name, score in (
        ("accuracy", accuracy_score),
        ("f1_macro", lambda true, answered: f1_score(true, answered, average="macro")),
    ):
        one, two = score(truths, first), score(truths, second)
        np.testing.assert_allclose(found[name], [one, two, two - one])
    means = losses.mean(axis=1)
    np.testing.assert_allclose(found["log_loss"], [*means, means[1] - means[0]])


@pytest.mark.parametrize("rows", [10, 9000])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_numbers_are_measured_as_scikit_learn_does(offset: float, rows: int) -> None:
    random = np.random.default_rng(0)
    truths, *noise = random.normal(size=(3, rows))
    truths += offset
    first, second = truths + noise[0], truths + noise[1] / 2

    found = measured(OfNumbers(), Part(truths, first, second), at_once=700)

    for name, score in (
        ("mae", mean_absolute_error),
        ("rmse", root_mean_squared_error),
        ("r2", r2_score),
    ):
        one, two = score(truths, first), score(truths, second)
        np.testing.assert_allclose(found[name], [one, two, two - one], rtol=1e-6)


def test_nothing_is_explained_where_the_truth_never_changes() -> None:
    same = np.full(100, 0.1)

    found = measured(OfNumbers(), Part(same, same + 1, same), at_once=30)

    assert np.isnan(found["r2"]).all()
    assert found["mae"] == pytest.approx([1.0, 0.0, -1.0])


def test_of_very_many_classes_f1_is_not_computed() -> None:
    labels = np.arange(MOST_CLASSES + 1.0)

    found = measured(OfClasses(labels, has_losses=False), Part(labels, labels, labels), at_once=100)

    assert found == {"accuracy": [1.0, 1.0, 0.0]}
