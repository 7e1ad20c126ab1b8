"""Train the two versions of the demonstration model.

The data are Fisher's irises, 150 flowers of three kinds with four measurements in
centimetres, which ship inside scikit-learn. v1 is a scaled logistic regression, v2 a
forest of 100 trees. Both learn from the same 105 flowers; the other 45 tell how good
they are. The same seed gives the same models.

Run it from the root of the repository; it writes `models/v1/` and `models/v2/`. A
version's bytes never change, so a model of your own belongs in a new folder.
"""

import json
import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODELS = Path("models")
SEED = 0

# Golden samples: sepal length and width, petal length and width. The first is a virginica (2)
# that v1 takes for a versicolor (1), although both versions learned from it.
SAMPLES = [
    [6.3, 2.8, 5.1, 1.5],
    [5.1, 3.5, 1.4, 0.2],
    [4.7, 3.2, 1.3, 0.2],
    [5.7, 4.4, 1.5, 0.4],
    [7.0, 3.2, 4.7, 1.4],
    [5.5, 2.3, 4.0, 1.3],
    [6.7, 3.0, 5.0, 1.7],
    [6.3, 3.3, 6.0, 2.5],
    [4.9, 2.5, 4.5, 1.7],
    [7.9, 3.8, 6.4, 2.0],
]


def main() -> None:
    """Train both versions, print how good they are, and write them."""
    rows, kinds = load_iris(return_X_y=True)
    learn_rows, test_rows, learn_kinds, test_kinds = train_test_split(
        rows, kinds, test_size=0.3, stratify=kinds, random_state=SEED
    )
    versions: dict[str, ClassifierMixin] = {
        "v1": make_pipeline(StandardScaler(), LogisticRegression()),
        "v2": RandomForestClassifier(n_estimators=100, random_state=SEED),
    }
    for version, model in versions.items():
        model.fit(learn_rows, learn_kinds)
        size = write_version(MODELS / version, model)
        print(f"{version}: {describe(model, test_rows, test_kinds)}, {size:,} bytes")


def describe(model: ClassifierMixin, rows: NDArray[np.float64], kinds: NDArray[np.int64]) -> str:
    """Say how many of the flowers that a model never saw it names rightly."""
    right = int((model.predict(rows) == kinds).sum())
    return f"{right} of {len(kinds)} unseen flowers right ({right / len(kinds):.1%})"


def write_version(folder: Path, model: ClassifierMixin) -> int:
    """Write the model and its golden samples, and return the size of the model."""
    folder.mkdir(parents=True, exist_ok=True)
    pickled = pickle.dumps(model, protocol=5)
    (folder / "model.pkl").write_bytes(pickled)
    (folder / "samples.json").write_text(format_samples(model.predict(SAMPLES).tolist()))
    return len(pickled)


def format_samples(outputs: list[int]) -> str:
    """Write the golden samples with a line for each row."""
    inputs = ",\n    ".join(json.dumps(row) for row in SAMPLES)
    return f'{{\n  "inputs": [\n    {inputs}\n  ],\n  "outputs": {json.dumps(outputs)}\n}}\n'


if __name__ == "__main__":
    main()
