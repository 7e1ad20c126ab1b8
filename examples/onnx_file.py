"""Add a model from an ONNX file: served as fast as compiled ones, and without its library.

Run it in a repository of models (`modeld init` makes one).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

rows, kinds = load_iris(return_X_y=True)
model = RandomForestClassifier(20, random_state=0).fit(rows, kinds)
converted = to_onnx(model, rows[:1].astype("float32"), options={"zipmap": False})

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "irises.onnx"
    path.write_bytes(converted.SerializeToString())
    subprocess.run([sys.executable, "-m", "modeld", "add", path], check=True)
