"""Real models are added to real repositories, whole or not at all, and answer as they did."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_array

from tests.support.server import (
    Server,
    cared_for,
    eventually,
    family_of,
    is_alive,
    make_server,
)
from tests.support.versions import write_code, write_model, write_onnx, write_regression

NEVER = {"MODELD_COMPILE": "never"}
CLASS = """
class Doubled:
    def predict(self, rows):
        return rows.sum(axis=1) * 2
"""
NAMED = """
class Named:
    feature_names_in_ = ["city", "age"]

    def predict(self, rows):
        return [f"{city} {age}" for city, age in zip(rows["city"], rows["age"])]
"""


def train_forest(folder: Path) -> tuple[str, ...]:
    """A classifier that knows its columns, and its training table."""
    rows, kinds = load_iris(return_X_y=True, as_frame=True)
    joblib.dump(RandomForestClassifier(5, random_state=0).fit(rows, kinds), folder / "m.sav")
    rows.assign(kind=kinds).to_csv(folder / "rows.csv", index=False)
    return ("m.sav", "--samples", "rows.csv", "--target", "kind")


def train_regression(folder: Path) -> tuple[str, ...]:
    """A regression on an array, whose columns only the table names."""
    rows = np.random.default_rng(0).normal(size=(50, 2))
    joblib.dump(LinearRegression().fit(rows, rows @ [2, 1]), folder / "m.joblib", compress=3)
    table = pd.DataFrame(rows, columns=["a", "b"]).assign(y=rows @ [2, 1])
    table.to_parquet(folder / "rows.parquet")
    return ("m.joblib", "--samples", "rows.parquet", "--target", "y")


def train_mixed(folder: Path) -> tuple[str, ...]:
    """A pipeline on a data frame with texts, numbers and a missing value."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"city": random.choice(["Bern", "Chur"], 80), "age": random.random(80)})
    bought = np.where((rows.city == "Bern") & (rows.age > 0.3), "yes", "no")
    columns = [("c", OneHotEncoder(), ["city"]), ("n", StandardScaler(), ["age"])]
    model = make_pipeline(ColumnTransformer(columns), LogisticRegression()).fit(rows, bought)
    joblib.dump(model, folder / "m.pkl")
    rows.assign(id=range(80), bought=bought).to_json(
        folder / "rows.jsonl", orient="records", lines=True
    )
    return ("m.pkl", "--samples", "rows.jsonl", "--target", "bought")


def write_own_class(folder: Path) -> tuple[str, ...]:
    """An object of a class that comes in a module beside it."""
    (folder / "doubled.py").write_text(CLASS)
    (folder / "m.pkl").write_bytes(b"\x80\x02cdoubled\nDoubled\n)R.")
    (folder / "rows.csv").write_text("a,b\n1,2\n3,4.5\n")
    return ("m.pkl", "--code", "doubled.py", "--samples", "rows.csv")


def write_graph(folder: Path) -> tuple[str, ...]:
    """A folder with an ONNX model, and nothing known of it."""
    write_onnx(folder / "exported")
    return ("exported",)


def train_texts(folder: Path) -> tuple[str, ...]:
    """A model of texts, whose rows are made up of words that it knows."""
    texts = ["free money now", "meeting at noon", "win money", "lunch at noon"] * 5
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0] * 5)
    joblib.dump(model, folder / "m.pkl")
    return ("m.pkl",)


def save_as_skops(folder: Path) -> tuple[str, ...]:
    """A file without code; it is found by its content."""
    rows = np.random.default_rng(0).normal(size=(50, 2))
    skops.io.dump(LinearRegression().fit(rows, rows @ [2, 1]), folder / "m.bin")
    return ("m.bin",)


MODELS = [
    *(train_forest, train_regression, train_mixed, write_own_class, write_graph),
    *(train_texts, save_as_skops),
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Server]:
    """A repository without a version and without a state file."""
    server = make_server(tmp_path / "repository", versions=())
    server.git("rm", "-q", "state/active.yaml")
    server.git("commit", "-qm", "Nothing is served")
    with cared_for(server):
        yield server


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where models are made: outside the repository."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def add(server: Server, work: Path, *arguments: str, **environment: str) -> Any:
    """Run `modeld add`; arguments that name a file of the work folder are paths to it."""
    done = server.command("add", *located(work, arguments), "--json", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def located(work: Path, arguments: tuple[str, ...]) -> list[str]:
    return [str(work / each) if (work / each).exists() else each for each in arguments]


def refused(server: Server, work: Path, *arguments: str, code: int = 1) -> str:
    """Run `modeld add` in vain: one line says why, and nothing is left."""
    before = server.git("status", "--short", "-uall")
    done = server.command("add", *located(work, arguments), **NEVER)
    assert done.returncode == code, done.stdout + done.stderr
    assert not done.stdout
    assert_nothing_left(server, before)
    return done.stderr


def assert_nothing_left(server: Server, before: str = "") -> None:
    assert server.git("status", "--short", "-uall") == before
    assert not list(server.models.rglob("*")) or server.models.exists()
    assert not list(server.models.glob(".*"))


@pytest.mark.parametrize("make", MODELS)
def test_a_version_that_was_added_answers_its_golden_samples(
    folder: Server, work: Path, make: Callable[[Path], tuple[str, ...]]
) -> None:
    told = add(folder, work, *make(work))

    samples = json.loads((folder.models / "v1" / "samples.json").read_text())
    folder.start(MODELD_TRUST="pinned")
    folder.wait_until_live("v1")
    answer = folder.predict({"instances": samples["inputs"]})

    assert told["samples"]["count"] == len(samples["outputs"])
    assert answer.json["predictions"] == pytest.approx(samples["outputs"]) or (
        answer.json["predictions"] == samples["outputs"]
    )
    assert folder.git("status", "--short") == "?? models/\n?? state/"


def manifest_of(server: Server, version: str = "v1") -> Any:
    return yaml.safe_load((server.models / version / "model.yaml").read_text())


def test_the_manifest_says_what_a_classifier_takes_and_answers(folder: Server, work: Path) -> None:
    add(folder, work, *train_forest(work))

    manifest = manifest_of(folder)

    assert manifest["format"] == "pickle"
    assert set(manifest["files"]) == {"model.pkl", "compiled.onnx"}
    assert manifest["inputs"][0] == {
        "name": "sepal length (cm)",
        "type": "float64",
        "nullable": True,
    }
    assert manifest["outputs"] == {"kind": "classes", "classes": [0, 1, 2]}
    assert manifest["trained"]["libraries"].keys() == {"joblib", "numpy", "scikit-learn"}
    assert manifest["trained"]["metrics"].keys() == {"accuracy", "f1_macro", "log_loss"}
    assert manifest["trained"]["metrics"]["accuracy"] > 0.9
    assert folder.state.read_text() == "active: v1\n"


def test_the_columns_of_a_table_name_those_of_an_array(folder: Server, work: Path) -> None:
    add(folder, work, *train_regression(work), **NEVER)

    manifest = manifest_of(folder)

    assert [each["name"] for each in manifest["inputs"]] == ["a", "b"]
    assert manifest["outputs"] == {"kind": "numbers"}
    assert manifest["trained"]["metrics"]["r2"] == pytest.approx(1)


def test_texts_and_numbers_are_told_apart(folder: Server, work: Path) -> None:
    told = add(folder, work, *train_mixed(work))

    assert [(each["name"], each["type"]) for each in told["inputs"]] == [
        ("city", "string"),
        ("age", "float64"),
    ]
    assert told["classes"] == ["no", "yes"]
    assert told["compiled"]["rows"] >= 1000


CITIES = pd.DataFrame(
    {"city": pd.Categorical(["Bergen", "Oslo", "Rome"] * 20), "age": np.arange(60.0)}
)
VISITED = np.where((CITIES.city == "Oslo") | (CITIES.age > 50), "yes", "no")
BOOSTED = {
    "lightgbm": LGBMClassifier(n_estimators=5, min_child_samples=2, verbose=-1),
    "searched": GridSearchCV(
        LGBMClassifier(n_estimators=5, min_child_samples=2, verbose=-1), {"max_depth": [3]}, cv=2
    ),
    "histogram": HistGradientBoostingClassifier(
        max_iter=5, min_samples_leaf=2, categorical_features="from_dtype"
    ),
}


@pytest.mark.parametrize("name", BOOSTED)
@pytest.mark.parametrize("has_table", [False, True], ids=["made up", "table"])
def test_categories_of_texts_are_columns_of_texts(
    folder: Server, work: Path, name: str, has_table: bool
) -> None:
    model = clone(BOOSTED[name]).fit(CITIES, VISITED)
    joblib.dump(model, work / "m.pkl")
    CITIES.to_csv(work / "rows.csv", index=False)

    told = add(folder, work, "m.pkl", *(["--samples", "rows.csv"] if has_table else []), **NEVER)

    samples = json.loads((folder.models / "v1" / "samples.json").read_text())
    kind = CITIES["city"].dtype
    rows = pd.DataFrame(samples["inputs"]).astype({"city": kind})
    assert [(each["name"], each["type"]) for each in told["inputs"]] == [
        ("city", "string"),
        ("age", "float64"),
    ]
    assert samples["outputs"] == model.predict(rows).tolist()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_texts_of_a_table_tell_what_a_model_of_names_takes(
    folder: Server, work: Path, suffix: str
) -> None:
    (work / "named.py").write_text(NAMED)
    (work / "m.pkl").write_bytes(b"\x80\x02cnamed\nNamed\n)R.")
    table = pd.DataFrame({"age": [40.0, 41.0], "city": ["Oslo", None]})
    path = work / f"rows.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)

    add(folder, work, "m.pkl", "--code", "named.py", "--samples", path.name, **NEVER)

    manifest = manifest_of(folder)
    samples = json.loads((folder.models / "v1" / "samples.json").read_text())
    assert [each["type"] for each in manifest["inputs"]] == ["string", "float64"]
    assert samples["outputs"][0] == "Oslo 40.0"


def test_a_word_among_numbers_is_no_column_of_texts(folder: Server, work: Path) -> None:
    train_forest(work)
    rows = pd.read_csv(work / "rows.csv", dtype=str)
    rows.iloc[3, 0] = "tall"
    rows.to_csv(work / "rows.csv", index=False)

    error = refused(folder, work, "m.sav", "--samples", "rows.csv")

    assert "row 4, column \"sepal length (cm)\": expected a number, found 'tall'" in error


def test_code_is_listed_with_its_digest(folder: Server, work: Path) -> None:
    add(folder, work, *write_own_class(work))

    manifest = manifest_of(folder)

    assert manifest["code"] == ["doubled.py"]
    assert set(manifest["files"]) == {"model.pkl", "doubled.py"}


def test_a_package_may_be_the_code(folder: Server, work: Path) -> None:
    (work / "own" / "deeper").mkdir(parents=True)
    for name in ("__init__.py", "deeper/__init__.py"):
        (work / "own" / name).touch()
    (work / "own" / "deeper" / "doubled.py").write_text(CLASS)
    (work / "m.pkl").write_bytes(b"\x80\x02cown.deeper.doubled\nDoubled\n)R.")
    (work / "rows.csv").write_text("a,b\n1,2\n")

    add(folder, work, "m.pkl", "--code", "own", "--samples", "rows.csv")

    samples = json.loads((folder.models / "v1" / "samples.json").read_text())
    assert samples == {"inputs": [{"a": 1.0, "b": 2.0}], "outputs": [6.0]}


def test_what_a_person_says_in_a_folder_is_kept(folder: Server, work: Path) -> None:
    source = work / "said"
    write_regression(source)
    (source / "own.py").write_text("")
    said = (
        "inputs: [{name: a, type: int8}, {name: b, type: bool}]\nextra_inputs: ignore\n"
        "code: [own.py]\ntrusted: [own.Step]\nbatching: false\nhosts: 2\ncompile: never\n"
        "max_memory: 8GiB\ndevice: cpu\n"
    )
    (source / "model.yaml").write_text(said)

    told = add(folder, work, "said")

    kept = manifest_of(folder)
    names = ("extra_inputs", "code", "trusted", "batching", "hosts", "compile", "device")
    assert {name: kept[name] for name in names} == {
        name: yaml.safe_load(said)[name] for name in names
    }
    assert kept["max_memory"] == str(8 << 30)
    assert [(each["name"], each["type"]) for each in told["inputs"]] == [
        ("a", "int8"),
        ("b", "bool"),
    ]
    assert told["why_native"] == "model.yaml has compile: never"


def test_rows_that_are_made_up_fit_the_types_of_a_manifest(folder: Server, work: Path) -> None:
    source = work / "said"
    source.mkdir()
    rows = np.random.default_rng(0).normal(size=(50, 2)) * [1, 200]
    joblib.dump(
        make_pipeline(StandardScaler(), LinearRegression()).fit(rows, rows[:, 0]),
        source / "model.pkl",
    )
    (source / "model.yaml").write_text("inputs: [{name: a, type: bool}, {name: b, type: int8}]\n")

    add(folder, work, "said", **NEVER)

    samples = json.loads((folder.models / "v1" / "samples.json").read_text())
    assert {row["a"] for row in samples["inputs"]} == {0, 1}
    assert {row["b"] for row in samples["inputs"]} <= {*range(-128, 128)}


def test_the_rank_that_a_person_says_is_kept(folder: Server, work: Path) -> None:
    (work / "said").mkdir()
    (work / "said" / "own.py").write_text(
        "class Length:\n    predict = staticmethod(lambda rows: [len(row) for row in rows])\n"
    )
    (work / "said" / "model.pkl").write_bytes(b"\x80\x02cown\nLength\n)R.")
    (work / "said" / "model.yaml").write_text("rank: 0\ncode: [own.py]\n")

    add(folder, work, "said")

    assert manifest_of(folder)["rank"] == 0


def test_a_manifest_in_a_folder_is_read_strictly(folder: Server, work: Path) -> None:
    write_regression(work / "said")
    (work / "said" / "model.yaml").write_text("hots: 2\n")

    error = refused(folder, work, "said")

    assert "said/model.yaml" in error
    assert "hots" in error


# Names and places


def test_each_version_takes_the_next_name_and_only_the_first_is_made_active(
    folder: Server, work: Path
) -> None:
    arguments = write_graph(work)

    told = [add(folder, work, *arguments)["version"] for _ in range(2)]
    told.append(add(folder, work, *arguments, "v9")["version"])
    told.append(add(folder, work, *arguments)["version"])

    assert told == ["v1", "v2", "v9", "v10"]
    assert folder.state.read_text() == "active: v1\n"


def test_a_version_of_a_named_model_has_its_place_and_may_be_the_first(
    folder: Server, work: Path
) -> None:
    told = add(folder, work, *write_graph(work), "--model", "churn")

    assert told["version"] == "churn@v1"
    assert (folder.models / "churn" / "v1" / "model.onnx").exists()
    assert folder.state.read_text() == "models: {churn: {active: v1}}\n"
    assert folder.command("verify").returncode == 0


def test_a_state_file_that_is_there_is_not_touched(repository: Server, work: Path) -> None:
    told = add(repository, work, *write_graph(work))

    assert (told["version"], told["active"]) == ("v3", False)
    assert repository.git("status", "--short") == "?? models/v3/"


def test_a_version_that_is_there_is_refused(repository: Server, work: Path) -> None:
    said = refused(repository, work, *write_graph(work), "v2")

    assert "v2 is there already (models/v2), and versions never change" in said


def test_a_type_that_nobody_trusts_is_named_and_may_be_trusted(folder: Server, work: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))
    model = make_pipeline(FunctionTransformer(check_array), LinearRegression())
    skops.io.dump(model.fit(rows, rows @ [2, 1]), work / "m.skops")

    said = refused(folder, work, "m.skops")
    told = add(folder, work, "m.skops", "--trust", "sklearn.utils.validation.check_array", **NEVER)

    assert "trusted: [sklearn.utils.validation.check_array]" in said
    assert "modeld add --trust TYPE" in said
    assert told["format"] == "skops"


# What is printed


def test_the_summary_says_which_rows_are_committed_and_what_to_type(
    folder: Server, work: Path
) -> None:
    done = folder.command("add", *located(work, train_regression(work)))

    printed = " ".join(done.stdout.split())
    assert printed.startswith("v1 is added: models/v1 model joblib, ")
    assert "20 golden rows: 1, 3, " in printed
    assert "stay in git's history for ever; --synthetic commits made-up ones" in printed
    assert "answers the same on 1," in printed
    assert "git add models/v1 state/active.yaml git commit -m 'Add v1'" in printed
    assert not done.stderr


def test_what_is_to_be_typed_works(folder: Server, work: Path) -> None:
    (folder.folder / ".gitignore").write_text("*.onnx\n")
    folder.git("add", ".gitignore")
    folder.git("commit", "-qm", "Ignore models, as many do")

    add_command, _ = add(folder, work, *write_graph(work))["commands"]
    subprocess.run(["bash", "-c", add_command], cwd=folder.folder, check=True)

    assert add_command == "git add -f models/v1 state/active.yaml"
    assert "models/v1/model.onnx" in folder.git("diff", "--cached", "--name-only")


def test_made_up_rows_are_nobodys(folder: Server, work: Path) -> None:
    told = add(folder, work, *train_mixed(work), "--synthetic", **NEVER)

    rows = pd.read_json(work / "rows.jsonl", lines=True)
    samples = json.loads((folder.models / "v1" / "samples.json").read_text())
    assert told["samples"] == {"count": 20, "rows": []}
    assert told["metrics"]["accuracy"] > 0.8
    assert not set(rows.age) & {each["age"] for each in samples["inputs"]}
    assert {each["city"] for each in samples["inputs"]} == {"Bern", "Chur"}


def test_a_dangerous_name_in_a_pickle_is_pointed_out(folder: Server, work: Path) -> None:
    write_model(work / "odd", n_features_in_=2)

    done = folder.command("add", str(work / "odd" / "model.pkl"), **NEVER)

    assert done.returncode == 0
    assert "warning: model.pkl asks for builtins.eval" in done.stderr
    assert "only if you know who made it" in done.stderr


def test_a_large_file_is_pointed_out_unless_lfs_has_it(folder: Server, work: Path) -> None:
    rows = np.eye(2)
    model = LinearRegression().fit(rows, [1, 2])
    model.ballast = np.zeros(51_000_000, dtype=np.int8)
    joblib.dump(model, work / "m.joblib")

    without = folder.command("add", str(work / "m.joblib"), **NEVER)
    (folder.folder / ".gitattributes").write_text("models/**/*.joblib filter=lfs\n")
    with_it = folder.command("add", str(work / "m.joblib"), **NEVER)

    assert "git lfs track 'models/**/*.joblib'" in without.stdout
    assert "51 MB" in without.stdout
    assert "git lfs" not in with_it.stdout


def test_a_model_that_answers_by_chance_has_no_golden_samples(folder: Server, work: Path) -> None:
    write_model(
        work / "odd",
        "lambda self, rows: __import__('numpy').random.random(len(rows))",
        n_features_in_=2,
    )

    told = add(folder, work, "odd/model.pkl", **NEVER)

    assert told["samples"] == {"count": 0, "rows": []}
    assert told["notes"] == ["it does not answer the same twice, so that it has no golden samples"]
    assert not (folder.models / "v1" / "samples.json").exists()


# What is refused


def cut_short(folder: Path) -> None:
    train_forest(folder)
    content = (folder / "m.sav").read_bytes()
    (folder / "m.pkl").write_bytes(content[: len(content) // 2])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no-model": (lambda p: (p / "m.pkl").write_text("hello"), "m.pkl is no model"),
    "cut-short": (cut_short, "EOF: reading array data"),
    "raises": (lambda p: write_code(p / "m.pkl", "1 / 0"), "division by zero"),
    "not-a-model": (lambda p: write_code(p / "m.pkl", "{}"), "no predict method"),
    "killed": (
        lambda p: write_code(p / "m.pkl", "__import__('os').kill(__import__('os').getpid(), 9)"),
        "its process was ended by SIGKILL",
    ),
    "exits": (
        lambda p: write_code(p / "m.pkl", "__import__('os')._exit(3)"),
        "its process exited with 3",
    ),
    "fails-on-rows": (
        lambda p: write_model(p / "m.pkl", "lambda self, rows: 1 / 0", n_features_in_=2),
        "division by zero",
    ),
    "needs-a-module": (
        lambda p: (p / "m.pkl").write_bytes(b"\x80\x02cno_such_module\nThing\n)R."),
        "needs the package 'no_such_module'",
    ),
    "pointer": (
        lambda p: (p / "m.pkl").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "missing": (lambda p: None, "m.pkl is not there"),
    "empty-folder": (lambda p: (p / "m.pkl").mkdir(), "has no files in it"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_added_is_said_in_a_line_and_leaves_nothing(
    folder: Server, work: Path, case: str
) -> None:
    make, says = BROKEN[case]
    make(work)

    said = refused(folder, work, str(work / "m.pkl"))

    assert says in said
    lines = [line for line in said.splitlines() if "warning:" not in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"modeld: {work / 'm.pkl'} is not added: ")


@pytest.mark.parametrize(
    ("table", "arguments", "says"),
    [
        ("a,c\n1,2\n", (), "rows.csv"),
        ("a,b\n", (), "rows.csv: it has no rows"),
        ("a,b\n1,x\n1,2\n", (), "rows.csv: row 1"),
        ("a,b\n1,x\n", (), "could not convert string to float: 'x'"),
        ("a,b\n1,2\n", ("--target", "y"), "rows.csv: it has no column y; found a, b"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    folder: Server, work: Path, table: str, arguments: tuple[str, ...], says: str
) -> None:
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 0.0, 1.0]})
    joblib.dump(LinearRegression().fit(frame, [1, 2, 3]), work / "m.joblib")
    (work / "rows.csv").write_text(table)

    said = refused(folder, work, "m.joblib", "--samples", "rows.csv", *arguments)

    assert says in said
    assert len(said.splitlines()) == 1


def test_a_disk_that_takes_no_more_leaves_nothing(folder: Server, work: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    train_forest(work)

    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 2; exec {sys.executable} -m modeld add {work / 'm.sav'}"],
        cwd=folder.folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert_nothing_left(folder)


def test_a_folder_that_cannot_be_written_is_named(folder: Server, work: Path) -> None:
    folder.models.rmdir()
    folder.models.touch()

    done = folder.command("add", *located(work, write_graph(work)))

    assert done.returncode == 1
    assert "models: " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_state_file_that_cannot_be_written_leaves_no_version(folder: Server, work: Path) -> None:
    (folder.folder / "state").touch()

    done = folder.command("add", *located(work, write_graph(work)))

    assert done.returncode == 1
    assert "state" in done.stderr
    assert not list(folder.models.glob("*"))
    assert not list(folder.models.glob(".*"))


@pytest.mark.parametrize(
    ("name", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_one_that_is_interrupted_leaves_nothing(
    folder: Server, work: Path, name: signal.Signals, code: int
) -> None:
    marker = work / "opened"
    write_code(work / "m", f"open({str(marker)!r}, 'w').close() or __import__('time').sleep(60)")
    command = [sys.executable, "-m", "modeld", "add", str(work / "m" / "model.pkl")]
    process = subprocess.Popen(
        command, cwd=folder.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    eventually(marker.exists, "a host that has opened the model")
    family = family_of(process.pid)

    os.kill(process.pid, name)

    assert process.wait(20) == code
    eventually(lambda: not any(map(is_alive, family)), f"none of {family} left")
    if name == signal.SIGKILL:
        # What nobody could clean up is no version, and goes with the next one.
        add(folder, work, *write_graph(work))
    assert not list(folder.models.glob(".*"))


def test_a_model_that_hangs_is_given_up(folder: Server, work: Path) -> None:
    started = time.monotonic()
    write_code(work / "m", "__import__('time').sleep(60)")

    done = folder.command("add", str(work / "m" / "model.pkl"), MODELD_LOAD_TIMEOUT="1s")

    assert done.returncode == 1
    assert "within 1 s" in done.stderr
    assert time.monotonic() - started < 30
