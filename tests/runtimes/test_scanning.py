"""What a pickle asks for is read, wherever joblib put it, and nothing of it is called."""

import os
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modeld.runtimes.scanning import dangerous, find_globals

ROWS = np.random.default_rng(0).normal(size=(500, 8))


class Marks:
    """Makes a folder when it is opened."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._marker),)


def compressed(how: Any) -> Any:
    return lambda model, path: joblib.dump(model, path, compress=how)


def pickled(protocol: int) -> Any:
    return lambda model, path: path.write_bytes(pickle.dumps(model, protocol))


WRITERS = {
    **{str(how): compressed(how) for how in (0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3))},
    **{f"pickle {protocol}": pickled(protocol) for protocol in (2, 3, 4, 5)},
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("place", ["before", "between", "inside"])
def test_a_dangerous_name_is_found_and_not_called(tmp_path: Path, writer: str, place: str) -> None:
    marks = Marks(tmp_path / "marker")
    models = {
        "before": [marks, ROWS],
        "between": [ROWS, marks, ROWS],
        "inside": np.array([ROWS, marks, 3], dtype=object),
    }
    path = tmp_path / "model"
    WRITERS[writer](models[place], path)

    found = find_globals(path)

    assert dangerous(found) == ("posix.mkdir",)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("writer", WRITERS)
def test_a_model_asks_for_nothing_dangerous(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "model"
    WRITERS[writer](LogisticRegression().fit(ROWS, ROWS[:, 0] > 0), path)

    found = find_globals(path)

    assert "sklearn.linear_model._logistic.LogisticRegression" in found
    assert dangerous(found) == ()


@pytest.mark.parametrize("name", ["builtins.eval", "subprocess.run", "os.path.join"])
def test_what_is_dangerous(name: str) -> None:
    assert dangerous((name, "builtins.set", "osprey.Bird")) == (name,)


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"\x80\x04\x95\xff", b"\x1f\x8b", b"text"])
def test_a_file_that_ends_early_is_read_as_far_as_it_goes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model").write_bytes(content)

    assert find_globals(tmp_path / "model") == ()
