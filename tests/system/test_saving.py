"""A model is saved from the script that defines its class, and served where that is not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from modeld import save
from modeld.errors import ModeldError
from tests.support.server import Server

SCRIPT = """
import asyncio
import numpy as np, pandas as pd
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from modeld import save

FACTOR = 2

class Scaled(BaseEstimator):
    def fit(self, X, y):
        self.inner_ = LinearRegression().fit(X, y)
        return self

    def predict(self, X):
        return self.inner_.predict(np.asarray(X)) * FACTOR

X = pd.DataFrame({"a": [0.0, 1.0, 2.0, np.nan], "b": [1.0, 0.0, 1.0, 1.0]})
y = pd.Series([1.0, 2.0, 5.0], name="y")
model = Scaled().fit(X.head(3), y)

async def in_a_notebook():
    return save(model, X, [2.0, 4.0, 10.0, 0.0])

print(repr(asyncio.run(in_a_notebook())))
"""


def test_a_class_of_the_script_itself_is_saved_and_served(repository: Server) -> None:
    """A notebook has a running event loop, and so has the script."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        cwd=repository.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    repository.write_state("active: v3\n")
    repository.start()
    repository.wait_until_live("v3")

    answer = repository.predict({"features": {"a": 1, "b": 1}})

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("v3 is added: models/v3\n")
    assert "    git commit -m 'Add v3'" in done.stdout
    assert answer.json["prediction"] == pytest.approx(6)


ROWS = np.random.default_rng(0).normal(size=(30, 2))
TRUTHS = ROWS @ [2, 1]


@pytest.mark.parametrize(
    ("samples", "first"),
    [
        (ROWS, ROWS[0].tolist()),
        (ROWS.tolist(), ROWS[0].tolist()),
        (pd.DataFrame(ROWS), ROWS[0].tolist()),
        (pd.DataFrame(ROWS, columns=["a", "target"]), dict(zip("ab", ROWS[0], strict=True))),
    ],
    ids=["array", "lists", "frame", "named frame"],
)
def test_samples_of_every_kind_are_taken(tmp_path: Path, samples: Any, first: Any) -> None:
    model = LinearRegression().fit(ROWS, TRUTHS)

    saved = save(model, samples, TRUTHS, models=tmp_path / "models")

    kept = json.loads((tmp_path / "models" / "v1" / "samples.json").read_text())
    row = kept["inputs"][0]
    assert list(row.values() if isinstance(row, dict) else row) == list(
        first.values() if isinstance(first, dict) else first
    )
    assert kept["outputs"][0] == pytest.approx(TRUTHS[0])
    assert saved.metrics["r2"] == pytest.approx(1)
    assert saved.compiled
    assert (tmp_path / "state" / "active.yaml").read_text() == "active: v1\n"


RANDOM = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "code": RANDOM.integers(0, 2000, 50),
        "small": RANDOM.integers(0, 9, 50).astype("uint8"),
        "flag": RANDOM.random(50) > 0.5,
        "maybe": pd.array([True] * 50, dtype="boolean"),
        "city": RANDOM.choice(["Oslo", "Bergen"], 50),
        "object": pd.Series(["a", None] * 25, dtype="object"),
        "kind": pd.Categorical(["x", "y"] * 25),
        "number": RANDOM.random(50),
        "gap": pd.array([None, *range(49)], dtype="Int64"),
        "large": np.arange(50) + (1 << 60),
    }
)
TYPES = {
    **{"code": "int64", "small": "uint8", "flag": "bool", "maybe": "bool"},
    **{"city": "string", "object": "string", "kind": "string"},
    **{"number": "float64", "gap": "float64", "large": "float64"},
}
LABELS = np.where(TABLE["code"] > 999, "many", "few")


def make_counter() -> Any:
    """A function that counts otherwise where whole numbers come as floats.

    It is pickled by value, as what a notebook defines.
    """
    return lambda columns: pd.DataFrame(columns).astype(str).map(len).to_numpy()


def test_the_columns_of_a_frame_are_recorded_with_their_types(repository: Server) -> None:
    columns = [
        ("digits", FunctionTransformer(make_counter()), ["code", "flag"]),
        ("texts", OneHotEncoder(), ["city"]),
    ]
    model = make_pipeline(ColumnTransformer(columns), DecisionTreeClassifier()).fit(TABLE, LABELS)

    saved = save(model, TABLE.head(20), models=repository.models, version="typed")

    manifest = yaml.safe_load((Path(saved.folder) / "model.yaml").read_text())
    repository.write_state("active: typed\n")
    repository.start()
    repository.wait_until_live("typed")
    rows = json.loads(TABLE.to_json(orient="records"))
    answer = repository.predict({"instances": rows})
    assert {each["name"]: each["type"] for each in manifest["inputs"]} == TYPES
    assert answer.json["predictions"] == model.predict(TABLE).tolist()


@pytest.mark.parametrize(
    "model",
    [
        LGBMClassifier(n_estimators=5, verbose=-1),
        HistGradientBoostingClassifier(categorical_features="from_dtype"),
    ],
    ids=["lightgbm", "histogram"],
)
def test_categories_of_a_frame_are_texts(tmp_path: Path, model: Any) -> None:
    columns = TABLE[["kind", "number"]]
    fitted = clone(model).fit(columns, LABELS)

    saved = save(fitted, columns, LABELS, models=tmp_path / "models")

    manifest = yaml.safe_load((Path(saved.folder) / "model.yaml").read_text())
    assert [each["type"] for each in manifest["inputs"]] == ["string", "float64"]
    assert saved.metrics["accuracy"] == pytest.approx(fitted.score(columns, LABELS))


@pytest.mark.parametrize(
    "samples", [TABLE[["code"]], TABLE[["code"]].to_numpy()], ids=["frame", "array"]
)
def test_a_model_that_would_answer_otherwise_than_here_is_refused(
    tmp_path: Path, samples: Any
) -> None:
    digits = FunctionTransformer(make_counter())
    model = make_pipeline(digits, LinearRegression()).fit(samples, make_counter()(samples))

    says = (
        "row 1 of the samples: the model answers 4.0 to it, and 6.0.* to it as an array of float64"
    )
    with pytest.raises(ModeldError, match=says):
        save(model, samples, models=tmp_path / "models")

    assert not list(tmp_path.iterdir())


def test_a_frame_of_texts_is_taken_for_its_texts(tmp_path: Path) -> None:
    texts = ["a good film", "a bad film"] * 10
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["yes", "no"] * 10)

    saved = save(model, pd.DataFrame({"text": texts}), models=tmp_path / "models")

    kept = json.loads((Path(saved.folder) / "samples.json").read_text())
    assert kept["inputs"][:2] == texts[:2]
    assert kept["outputs"][:2] == ["yes", "no"]


def test_several_targets_are_not_measured(tmp_path: Path) -> None:
    targets = np.c_[TRUTHS, -TRUTHS]

    saved = save(LinearRegression().fit(ROWS, targets), ROWS, targets, models=tmp_path / "models")

    assert saved.notes == ("several targets are not measured",)
    assert not saved.metrics


def test_a_target_of_one_column_is_measured(tmp_path: Path) -> None:
    target = pd.DataFrame({"y": TRUTHS})

    saved = save(LinearRegression().fit(ROWS, target), ROWS, target, models=tmp_path / "models")

    assert saved.metrics["r2"] == pytest.approx(1)


@pytest.mark.parametrize("kind", [np.array, list, pd.Series])
def test_bare_numbers_are_one_column(tmp_path: Path, kind: Any) -> None:
    numbers = kind(np.arange(10.0))
    model = IsotonicRegression().fit(np.arange(10.0), np.arange(10.0) * 2)

    saved = save(model, numbers, np.arange(10.0) * 2, models=tmp_path / "models")

    kept = json.loads((Path(saved.folder) / "samples.json").read_text())
    assert (kept["inputs"][3], kept["outputs"][3]) == ([3.0], 6.0)
    assert saved.metrics["r2"] == pytest.approx(1)


def test_it_prints_well(tmp_path: Path) -> None:
    saved = save(LinearRegression().fit(ROWS, TRUTHS), models=tmp_path / "models", model="a-b")

    assert repr(saved).startswith("a-b@v1 is added: ")
    assert "<pre>git add " in saved._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"target": TRUTHS}, "target has the answers to samples, which are not given"),
        ({"samples": ROWS, "target": TRUTHS[:3]}, "samples have 30 rows, target has 3"),
        ({"samples": ROWS[:0], "target": TRUTHS[:0]}, "samples have no rows"),
        ({"version": "latest"}, "latest is a word with a meaning of its own"),
        ({"samples": ROWS[:, :1]}, "takes 2 columns"),
    ],
)
def test_what_cannot_be_saved_is_an_error_that_says_why(
    tmp_path: Path, arguments: dict[str, Any], says: str
) -> None:
    model = LinearRegression().fit(ROWS, TRUTHS)

    with pytest.raises(ModeldError, match=says):
        save(model, models=tmp_path / "models", **arguments)

    assert not list(tmp_path.iterdir())


def test_importing_modeld_stays_light() -> None:
    code = "import modeld, sys; print(len([n for n in sys.modules if n.startswith('modeld')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "1\n"
