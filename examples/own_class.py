"""Serve a class of your own: anything with a `predict` method will do.

What this file defines is pickled with the model, so that the server needs no copy of it. Run it
in a repository of models (`modeld init` makes one).
"""

import numpy as np
from numpy.typing import NDArray

from modeld import save


class Thermostat:
    """Says whether to heat: below the wanted temperature minus half a degree."""

    n_features_in_ = 2  # how many numbers a row has: the temperature, and the wanted one

    def predict(self, rows: NDArray[np.float64]) -> list[str]:
        """Answer for each row; a row is a row of a float64 array."""
        return ["heat" if now < wanted - 0.5 else "rest" for now, wanted in rows]


print(save(Thermostat(), [[18.0, 20.0], [19.8, 20.0], [21.0, 20.0]]))
