"""Train the models that are served in a benchmark: python -m benchmarks.train FOLDER

It runs on an interpreter that has scikit-learn in modeld's version, and pandas. Each model
gets a folder with `model.joblib`, ten golden samples and a batch of 1,000 rows with their
answers. The same seed gives the same models.

Values have four digits after the point, as measurements do: their JSON has the length that
JSON has in practice, and a cast to float32 moves none of them over a threshold.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from radial_vote import RadialVote
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SEED = 7
SAMPLES = 10
BATCH = 1_000

_LEARNT = 2_000
_TREES = 100
_CITIES = ("Berlin", "Lagos", "Lima", "Osaka", "Pune", "Quito")
_PLANS = ("free", "team", "enterprise")


@dataclass(frozen=True)
class Trained:
    """A model, and rows that it did not learn from, as it takes them."""

    name: str
    model: Any
    rows: Any


def main() -> None:
    """Train and write all of them."""
    folder = Path(sys.argv[1])
    for trained in (*_of_numbers(), _of_columns()):
        _write(folder / trained.name, trained)


def _of_numbers() -> Iterator[Trained]:
    few, many = _numbers(4), _numbers(30)
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    yield _fitted("regression", scaled, few)
    other = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    yield _fitted("successor", other, few)
    forest = RandomForestClassifier(n_estimators=_TREES, random_state=SEED)
    yield _fitted("forest", forest, many)
    yield _fitted("boosting", HistGradientBoostingClassifier(random_state=SEED), many)
    rows, labels = many
    custom = RadialVote(rows[:200], labels[:200] * 2.0 - 1.0, width=30.0)
    yield Trained("custom", custom, rows[_LEARNT:])


def _numbers(features: int) -> tuple[Any, Any]:
    rows, labels = make_classification(
        n_samples=_LEARNT + BATCH,
        n_features=features,
        n_informative=features // 2,
        n_redundant=0,
        random_state=SEED,
    )
    return rows.round(4), labels


def _fitted(name: str, model: Any, examples: tuple[Any, Any]) -> Trained:
    rows, labels = examples
    model.fit(rows[:_LEARNT], labels[:_LEARNT])
    return Trained(name, model, rows[_LEARNT:])


def _of_columns() -> Trained:
    source = np.random.default_rng(SEED)
    count = _LEARNT + BATCH
    frame = pd.DataFrame(
        {
            "age": source.integers(18, 90, count).astype(float),
            "income": source.normal(40_000, 9_000, count).round(2),
            "visits": source.poisson(4, count).astype(float),
            "city": source.choice(_CITIES, count),
            "plan": source.choice(_PLANS, count),
        }
    )
    score = frame["income"] / 9_000 + 2 * (frame["plan"] == "team") + (frame["city"] == "Lima")
    prepared = make_column_transformer(
        (StandardScaler(), ["age", "income", "visits"]),
        (OneHotEncoder(handle_unknown="ignore"), ["city", "plan"]),
    )
    model = make_pipeline(prepared, LogisticRegression())
    return _fitted("columns", model, (frame, (score > score.median()).astype(int)))


def _write(folder: Path, trained: Trained) -> None:
    folder.mkdir(parents=True)
    joblib.dump(trained.model, folder / "model.joblib")
    inputs = _plain(trained.rows)
    outputs = [int(label) for label in trained.model.predict(trained.rows)]
    for name, count in (("samples.json", SAMPLES), ("batch.json", BATCH)):
        content = {"inputs": inputs[:count], "outputs": outputs[:count]}
        (folder / name).write_text(json.dumps(content))


def _plain(rows: Any) -> Sequence[Any]:
    """Give rows as JSON has them: objects where columns have names, else lists."""
    if isinstance(rows, pd.DataFrame):
        return [dict(row) for row in rows.to_dict("records")]
    return [[float(value) for value in row] for row in rows]


if __name__ == "__main__":
    main()
