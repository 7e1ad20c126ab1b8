"""Have MLflow and BentoML save a small model each, for the tests on folders of other tools.

Run it by hand where these are installed, with the scikit-learn of the lock; what it writes beside
itself is committed. MLServer and Triton save nothing: their files are written by people.
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

HERE = Path(__file__).parent
ROWS, KINDS = load_iris(return_X_y=True, as_frame=True)
ROWS = ROWS.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
MODEL = LogisticRegression(max_iter=500).fit(ROWS, KINDS)
NEEDED = ("MLmodel", "requirements.txt", "input_example.json", "model.*", "code")
STEP = '''"""A step of somebody's own."""

from typing import Any

import numpy as np


def square(rows: Any) -> Any:
    """Square each number."""
    return np.square(rows)
'''


def to_onnx() -> object:
    import skl2onnx

    first = ROWS.to_numpy()[:1].astype(np.float32)
    return skl2onnx.to_onnx(MODEL, first, options={"zipmap": False})


def save_for_mlflow() -> None:
    import mlflow

    about = {
        "signature": mlflow.models.infer_signature(ROWS, MODEL.predict(ROWS)),
        "input_example": ROWS.head(3),
    }
    for kind in ("cloudpickle", "skops"):
        path = HERE / f"mlflow-{kind}"
        mlflow.sklearn.save_model(MODEL, path, serialization_format=kind, **about)
    array = ROWS.to_numpy().astype(np.float32)
    mlflow.onnx.save_model(to_onnx(), HERE / "mlflow-onnx", input_example=array[:2])
    (HERE / "own_step.py").write_text(STEP)
    sys.path.insert(0, str(HERE))
    import own_step

    model = make_pipeline(FunctionTransformer(own_step.square), LogisticRegression(max_iter=500))
    mlflow.sklearn.save_model(
        model.fit(ROWS, KINDS),
        HERE / "mlflow-code",
        code_paths=[str(HERE / "own_step.py")],
        serialization_format="cloudpickle",
        **about,
    )
    (HERE / "own_step.py").unlink()


def save_for_bentoml() -> None:
    import bentoml

    saved = bentoml.sklearn.save_model(
        "iris", MODEL, signatures={"predict": {"batchable": True}, "predict_proba": {}}
    )
    shutil.copytree(saved.path, HERE / "bentoml-sklearn")


def keep_what_is_needed() -> None:
    """Leave out what only the tools themselves read."""
    for folder in HERE.glob("mlflow-*"):
        for path in folder.iterdir():
            if not any(path.match(pattern) for pattern in NEEDED):
                path.unlink()


if __name__ == "__main__":
    os.environ |= {"BENTOML_DO_NOT_TRACK": "True"}
    {"mlflow": save_for_mlflow, "bentoml": save_for_bentoml}[sys.argv[1]]()
    keep_what_is_needed()
