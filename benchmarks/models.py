"""Name the models that are served, and have them trained for the run."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import BRIEF, THOROUGH, Case
from benchmarks.errors import BenchmarkError
from benchmarks.places import IMPORTABLE, PANDAS_PYTHON, ROOT, clean_environment

Row = Any  # a list of numbers, or an object of numbers and texts: whatever JSON has

_TRAINING_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model, and what is asked of it."""

    name: str
    about: str
    cases: tuple[Case, ...] = BRIEF
    compiles: bool = True
    has_text: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows, and what the model answers to each."""

    inputs: tuple[Row, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model in a folder of its own."""

    kind: Kind
    folder: Path
    samples: Rows
    batch: Rows

    @property
    def file(self) -> Path:
        """Where the model is."""
        return self.folder / "model.joblib"


REGRESSION = Kind("regression", "scaled logistic regression, 4 features", THOROUGH)
FOREST = Kind("forest", "forest of 100 trees, 30 features", THOROUGH)
BOOSTING = Kind("boosting", "histogram gradient boosting, 30 features")
COLUMNS = Kind(
    "columns", "pipeline of 3 numeric and 2 text columns, rows as objects", has_text=True
)
CUSTOM = Kind("custom", "class of one's own in numpy, 30 features", compiles=False)
KINDS = (REGRESSION, FOREST, BOOSTING, COLUMNS, CUSTOM)

SUCCESSOR = Kind("successor", "another regression, to switch to")


def train(folder: Path) -> Mapping[str, Model]:
    """Train all models into a folder, and give them by the names of their kinds."""
    if not PANDAS_PYTHON.exists():
        raise BenchmarkError("the servers to compare with are not installed; run `make bench`")
    done = subprocess.run(
        [PANDAS_PYTHON, "-m", "benchmarks.train", folder],
        cwd=ROOT,
        env={**clean_environment(), "PYTHONPATH": str(IMPORTABLE)},
        capture_output=True,
        text=True,
        timeout=_TRAINING_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"the models cannot be trained:\n{done.stderr}")
    return {kind.name: _read(kind, folder / kind.name) for kind in (*KINDS, SUCCESSOR)}


def _read(kind: Kind, folder: Path) -> Model:
    return Model(kind, folder, _rows(folder / "samples.json"), _rows(folder / "batch.json"))


def _rows(path: Path) -> Rows:
    found: Mapping[str, Sequence[Any]] = json.loads(path.read_text())
    return Rows(tuple(found["inputs"]), tuple(found["outputs"]))
