"""Convert a pickled scikit-learn model to ONNX, as a user of modeld would before dropping it in.

Runs on the peers' interpreter, which has skl2onnx. usage: to_onnx.py MODEL FEATURES TARGET
"""

import sys
from pathlib import Path

import joblib
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    FloatTensorType,
)


def main() -> None:
    """Write the converted model, with probabilities as a plain array."""
    source, features, target = sys.argv[1:]
    inputs = [("features", FloatTensorType([None, int(features)]))]
    converted = to_onnx(joblib.load(source), initial_types=inputs, options={"zipmap": False})
    Path(target).write_bytes(converted.SerializeToString())


if __name__ == "__main__":
    main()
