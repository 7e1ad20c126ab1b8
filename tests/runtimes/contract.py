"""A small model of every format and kind, with answers that are known."""

import bz2
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import skops.io
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_resampled
from lightgbm import LGBMClassifier
from onnx import TensorProto
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from tests.runtimes import onnx_files
from tests.support.versions import write_model

Write = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """One model. `bad` are rows that it must refuse, with the code and words of the error."""

    name: str
    write: Write
    rows: list[Any]
    answers: list[Any]
    bad: list[tuple[Any, str, str]]
    manifest: str = ""
    runtime: str = "native"

    def make(self, folder: Path) -> Path:
        """Write the version's folder."""
        folder.mkdir(parents=True)
        self.write(folder)
        if self.manifest:
            (folder / "model.yaml").write_text(self.manifest)
        return folder


ROWS = np.array([[-1.0, 0.0], [1.0, 0.0], [-2.0, 1.0], [2.0, 1.0]])
LABELS = np.array(["no", "yes", "no", "yes"])
TREE = DecisionTreeClassifier(random_state=0).fit(ROWS, LABELS)
FRAME = pd.DataFrame({"id": range(4), "size": ROWS[:, 0], "city": ["Oslo"] * 2 + ["Rome"] * 2})
COLUMNS = [("city", OneHotEncoder(handle_unknown="ignore"), ["city"])]
MIXED = make_pipeline(
    ColumnTransformer([("size", "passthrough", ["size"]), *COLUMNS]), DecisionTreeClassifier()
).fit(FRAME, LABELS)
WORDS = make_pipeline(CountVectorizer(), LogisticRegression()).fit(
    ["good film", "bad film"] * 5, ["yes", "no"] * 5
)
BOOSTED = LGBMClassifier(n_estimators=5, min_child_samples=1, n_jobs=1, verbose=-1).fit(
    np.tile(ROWS, (10, 1)), np.tile(LABELS, 10)
)
RESAMPLED = make_resampled(RandomOverSampler(random_state=0), LogisticRegression()).fit(
    np.vstack([ROWS, ROWS[:1]]), [*LABELS, "no"]
)
TWO = LinearRegression().fit(ROWS, np.c_[ROWS.sum(axis=1), ROWS[:, 0]])

TABLE: list[tuple[Any, str, str]] = [
    ([1.0], "wrong_shape", "expected 2 values, got 1"),
    (["1", 2], "wrong_type", "row 1, column 1: expected a number, found a text"),
    ([1, True], "wrong_type", "found a truth value"),
    ([[1, 2], [1, None]], "wrong_type", "row 2, column 2: expected a number, found null"),
    ({"a": 1}, "wrong_type", "knows no column names"),
    ("good film", "wrong_type", "must be one row"),
    ([], "empty_batch", "holds no row"),
]
# A tree takes what is missing.
TREES = [bad for bad in TABLE if "null" not in bad[2]]
TEXTS: list[tuple[Any, str, str]] = [
    (3, "wrong_type", "must be a text or a list of texts, found a number"),
    (["a", 3], "wrong_type", "row 2: expected a text, found a number"),
    ([["a"]], "wrong_type", "row 1: expected a text, found a list"),
]


def file(name: str, dump: Callable[[Path], object]) -> Write:
    return lambda folder: dump(folder / name)


def pickled(model: Any) -> Write:
    return file("model.pkl", lambda path: path.write_bytes(pickle.dumps(model)))


def onnx(model: Any) -> Write:
    return file("model.onnx", lambda path: onnx_files.save(path, model))


LABELED: dict[str, Any] = {"rows": [[-1.0, 0.0], [1.0, 0.0]], "answers": ["no", "yes"]}
WORDED: dict[str, Any] = {"rows": ["a good film", "a bad film"], "answers": ["yes", "no"]}

CASES = [
    Case("pickle", pickled(TREE), **LABELED, bad=TREES),
    Case(
        "joblib",
        file("model.joblib", lambda path: joblib.dump(TREE, path)),
        **LABELED,
        bad=TREES,
    ),
    Case(
        "compressed",
        file("model.joblib", lambda path: path.write_bytes(bz2.compress(pickle.dumps(TREE)))),
        **LABELED,
        bad=TREES,
    ),
    Case(
        "skops",
        file("model.skops", lambda path: skops.io.dump(TREE, path)),
        **LABELED,
        bad=TREES,
        manifest="trusted: [sklearn.tree._tree.Tree]\n",
    ),
    Case(
        "onnx",
        onnx(onnx_files.classifier(labels=("no", "yes"))),
        **LABELED,
        bad=[*TREES, ([1e39, 0], "out_of_range", "32-bit numbers")],
        runtime="onnx",
    ),
    Case(
        "onnx-columns",
        onnx(onnx_files.mixed_columns()),
        rows=[{"word": "a", "size": 3.0}, ["b", 3.0]],
        answers=[1.5, 3.0],
        bad=[
            ({"word": "a"}, "missing_field", 'column "size" is missing'),
            ({"word": 1, "size": 1}, "wrong_type", '("word"): expected a text, found a number'),
        ],
        runtime="onnx",
    ),
    Case(
        "onnx-integers",
        onnx(onnx_files.identity(onnx_files.INT64, ["n", 2])),
        rows=[[1, 2], [3, -4]],
        answers=[[1, 2], [3, -4]],
        bad=[([1, 2.5], "out_of_range", "row 1, column 2: expected a whole number")],
        runtime="onnx",
    ),
    Case(
        "onnx-texts",
        onnx(onnx_files.identity(onnx_files.STRING, ["n", 1])),
        rows=["a", "ü"],
        answers=["a", "ü"],
        bad=TEXTS,
        runtime="onnx",
    ),
    Case(
        "onnx-images",
        onnx(onnx_files.identity(onnx_files.FLOAT, [1, 2, 2])),
        rows=[[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
        answers=[[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
        bad=[([[1, 2, 3], [4, 5, 6]], "wrong_shape", "expected rows of 2 × 2 numbers, got 2 × 3")],
        runtime="onnx",
    ),
    Case(
        "onnx-outputs",
        onnx(onnx_files.detector()),
        rows=[[0.0, 0.0], [0.0, 3.0]],
        answers=[
            {"boxes": [[0, 0], [0, 0]], "scores": [0.5, 0.5], "count": 0},
            {"boxes": [[0, 3], [0, 3]], "scores": [0.5, 0.9525741], "count": 3},
        ],
        bad=TABLE,
        runtime="onnx",
    ),
    Case("lightgbm", pickled(BOOSTED), **LABELED, bad=TREES),
    Case("imbalanced-learn", pickled(RESAMPLED), **LABELED, bad=TABLE),
    Case("texts", pickled(WORDS), **WORDED, bad=TEXTS),
    Case(
        "frame",
        pickled(MIXED),
        rows=[{"size": -1, "city": "Oslo"}, [None, 1, "Nowhere"]],
        answers=["no", "yes"],
        bad=[
            ({"size": 1}, "missing_field", 'column "city" is missing'),
            ({"size": 1, "citi": "Oslo"}, "unknown_field", 'did you mean "city"'),
            ([1, 1, 1], "wrong_type", '("city"): expected a text, found a number'),
        ],
    ),
    Case(
        "typed",
        pickled(TREE),
        rows=[{"a": -1, "is_new": False, "more": "x"}, [1, 0]],
        answers=["no", "yes"],
        bad=[
            ({"a": 300, "is_new": True}, "wrong_type", '("a"): expected a whole number'),
            ([1, 2], "wrong_type", '("is_new"): expected a truth value, or 0 or 1, found 2'),
        ],
        manifest="inputs: [{name: a, type: int8}, {name: is_new, type: bool}]\n"
        "extra_inputs: ignore\n",
    ),
    Case(
        "several-outputs",
        pickled(TWO),
        rows=[[1.0, 2.0], [3.0, 4.0]],
        answers=[[3.0, 1.0], [7.0, 3.0]],
        bad=TABLE,
    ),
    Case(
        "onnx-truths",
        onnx(onnx_files.identity(TensorProto.BOOL, ["n", 2])),
        rows=[[True, 0], [0, True]],
        answers=[[True, False], [False, True]],
        bad=[
            ([True, "a"], "wrong_type", "expected a truth value, or 0 or 1, found a text"),
            ([1, 2], "out_of_range", "expected 0 or 1, found 2"),
        ],
        runtime="onnx",
    ),
    Case(
        "onnx-named-truths",
        onnx(onnx_files.identity(TensorProto.BOOL, ["n", 2])),
        rows=[{"a": True, "b": 0}, [0, True]],
        answers=[[True, False], [False, True]],
        bad=[([1, 2], "wrong_type", '("b"): expected a truth value, or 0 or 1, found 2')],
        manifest="inputs: [{name: a}, {name: b}]\n",
        runtime="onnx",
    ),
    Case(
        "own-class",
        write_model,
        rows=[[1.0, 2.0], [3.0, 1.0]],
        answers=[3.0, 4.0],
        bad=[(["1"], "wrong_type", "expected a number, found a text")],
    ),
]
