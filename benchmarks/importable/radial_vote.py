"""A model class of one's own, of the kind that no converter knows.

It lies in a folder of its own because a pickle names it by its import: the folder is put on
PYTHONPATH of every server that is asked to load it.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class RadialVote:
    """Let known points vote, each the more the nearer it is to the row."""

    def __init__(self, points: Floats, votes: Floats, width: float) -> None:
        self.points = points
        self.votes = votes
        self.width = width
        self.n_features_in_ = points.shape[1]

    def predict(self, rows: Floats) -> NDArray[np.int64]:
        """Answer 1 where the votes for it outweigh those against, else 0."""
        rows = np.asarray(rows, dtype=np.float64)
        squares = ((rows[:, None, :] - self.points) ** 2).sum(axis=2)
        sums = np.exp(-squares / self.width) @ self.votes
        labels: NDArray[np.int64] = (sums > 0).astype(np.int64)
        return labels
