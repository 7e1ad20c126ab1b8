"""Train the first version: a forest that names irises, with golden samples beside it.

An example to replace. A version's bytes never change, so a better model goes to `models/v2/`;
`samples.json` holds rows and the answers that the model must give whenever it is loaded.
"""

import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

FOLDER = Path("models/v1")


def main() -> None:
    """Train on Fisher's irises, and write the version."""
    if FOLDER.exists():
        sys.exit(f"{FOLDER} is there already, and versions never change")
    rows, kinds = load_iris(return_X_y=True)
    model = RandomForestClassifier(n_estimators=50, random_state=0).fit(rows, kinds)
    samples = rows[::30]
    content = {"inputs": samples.tolist(), "outputs": model.predict(samples).tolist()}
    FOLDER.mkdir(parents=True)
    joblib.dump(model, FOLDER / "model.joblib", compress=3)
    (FOLDER / "samples.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
