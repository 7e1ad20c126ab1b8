"""Serve `model.predict` with BentoML and its adaptive batching.

Each request brings a list of rows, and BentoML joins the lists of several. The path of the
model comes by the environment.
usage: MODEL=… bentoml serve bento_predictor:Predictor --port PORT
"""

import os

import bentoml
import joblib
import numpy as np
from numpy.typing import NDArray


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Predictor:
    """One process with the model."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    # A peer's decorator, without types here.
    @bentoml.api(batchable=True, max_batch_size=2_000)  # type: ignore[untyped-decorator]
    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """Answer the rows of a batch."""
        labels: NDArray[np.int64] = self.model.predict(rows)
        return labels
