"""Show which of scikit-learn's classifiers and regressors are compiled with equal answers.

Each is fitted with its defaults on plain numbers, opened as a host opens it, and compiled
with the whole proof. Run `python -m benchmarks.coverage`; it prints a table in Markdown.
"""

import inspect
import io
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import all_estimators

from modeld.compiler.compile import compile_model
from modeld.domain import Artifact, ModelVersion
from modeld.errors import CompileFailed, ModeldError
from modeld.host.trial import try_out
from modeld.runtimes.native import NativeModel

_KINDS = ("classifier", "regressor")
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one estimator; `way` is empty where it is not compiled."""

    name: str
    result: str
    way: str = ""
    greatest_difference: float = 0.0
    reason: str = ""


def look() -> Iterator[Row]:
    """Try them all."""
    for kind in _KINDS:
        for name, estimator in all_estimators(type_filter=kind):
            yield _try(name, estimator, is_classifier=kind == "classifier")


def _try(name: str, kind: type, *, is_classifier: bool) -> Row:
    random = np.random.default_rng(0)
    rows = random.random((300, 4))
    score = rows[:, 0] + 2 * rows[:, 1] + 0.1 * random.random(300)
    target = np.digitize(score, [1.0, 2.0]) if is_classifier else score
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            fitted = _made(kind, is_classifier=is_classifier).fit(rows, target)
            content = pickle.dumps(fitted)
        except Exception as error:
            # Each estimator has errors of its own for data that it is not made for.
            return Row(name, "does not fit plain data", reason=_line(error))
        return _compile(name, content)


def _made(kind: type, *, is_classifier: bool) -> Any:
    inner = LogisticRegression() if is_classifier else Ridge()
    known = inspect.signature(kind).parameters
    given: dict[str, Any] = {"estimator": inner} if "estimator" in known else {}
    if "estimators" in known:
        given["estimators"] = [("a", inner), ("b", inner)]
    if "random_state" in known:
        given["random_state"] = 0
    return kind(**given)


def _compile(name: str, content: bytes) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        path.write_bytes(content)
        version = ModelVersion("default", "v1")
        artifact = Artifact(version, "pickle", str(path), "", len(content), pinned=False)
        try:
            model, _ = try_out(artifact, inplace_max=0)
            if not isinstance(model, NativeModel):
                raise CompileFailed("not a pickle")
            found = compile_model(model, None)
        except ModeldError as error:
            return Row(name, "native", reason=_line(error))
    return Row(name, "compiled", found.way, found.greatest_difference)


def _line(error: Exception) -> str:
    text = " ".join(f"{error}".split()).replace("|", "/")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def main() -> None:
    """Print the table and the count."""
    rows = list(look())
    print("| estimator | result | way | greatest difference | reason |")
    print("|---|---|---|---|---|")
    for row in rows:
        difference = f"{row.greatest_difference:.0e}" if row.way else ""
        print(f"| {row.name} | {row.result} | {row.way} | {difference} | {row.reason} |")
    compiled = sum(row.result == "compiled" for row in rows)
    fitting = sum(row.result != "does not fit plain data" for row in rows)
    print(f"\n{compiled} of {fitting} that fit plain data are compiled.")


if __name__ == "__main__":
    main()
