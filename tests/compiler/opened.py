"""Pickle an estimator and open it as a host does, with all that trying finds out."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from modeld.host.trial import try_out
from modeld.runtimes.native import NativeModel
from tests.host.pickles import artifact_of


def opened(folder: Path, estimator: Any, row: list[Any] | None = None) -> NativeModel:
    """Give the native model with its whole signature.

    `row` is one that it answers, where it answers no zeros.
    """
    path, samples = folder / "model.pkl", folder / "samples.json"
    path.write_bytes(pickle.dumps(estimator))
    artifact = artifact_of(path, "pickle")
    if row is not None:
        names = getattr(estimator, "feature_names_in_", None)
        rows = [row] if names is None else pd.DataFrame([row], columns=names)
        golden = {"inputs": [row], "outputs": estimator.predict(rows).tolist()}
        samples.write_text(json.dumps(golden))
        artifact = replace(artifact, samples=str(samples))
    model, _ = try_out(artifact, inplace_max=0)
    assert isinstance(model, NativeModel)
    return model
