"""Add a model from a skops file, which holds no code: `MODELD_TRUST=safe` serves it too.

Run it in a repository of models (`modeld init` makes one).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import skops.io
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

rows, kinds = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=1000).fit(rows, kinds)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "irises.skops"
    skops.io.dump(model, path)
    subprocess.run([sys.executable, "-m", "modeld", "add", path], check=True)
