"""Pickle an estimator and open it as a host does, with all that trying finds out."""

import pickle
from pathlib import Path
from typing import Any

from modeld.host.trial import try_out
from modeld.runtimes.native import NativeModel
from tests.host.pickles import artifact_of


def opened(folder: Path, estimator: Any) -> NativeModel:
    """Give the native model with its whole signature."""
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(estimator))
    model, _ = try_out(artifact_of(path, "pickle"), inplace_max=0)
    assert isinstance(model, NativeModel)
    return model
