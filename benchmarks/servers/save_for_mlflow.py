"""Store a model as MLflow serves it, before the start. usage: save_for_mlflow.py MODEL FOLDER"""

import sys

import joblib
import mlflow.sklearn


def main() -> None:
    """Write the folder."""
    _, model, folder = sys.argv
    # Its safer format refuses classes of one's own and private ones of scikit-learn.
    mlflow.sklearn.save_model(joblib.load(model), folder, serialization_format="cloudpickle")


if __name__ == "__main__":
    main()
