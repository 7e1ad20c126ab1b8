"""Serve `model.predict` with FastAPI, as its tutorials do: one process, one request, one call.

What can be had for nothing is given to it: uvloop, httptools, no access log, and an endpoint
of its own for many rows. The form `def` is what its documentation advises for calls that
block, and takes a thread; `async` spares that hop and blocks the loop. A model with columns
of text is given a DataFrame, on an interpreter with pandas; the others run on one without,
because scikit-learn imports it wherever it is installed.
usage: plain_fastapi.py MODEL numbers|columns async|def PORT
"""

import sys

import joblib
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

MODEL = joblib.load(sys.argv[1])


class Row(BaseModel):
    """One row of numbers."""

    features: list[float]


class NamedRow(BaseModel):
    """One row by the names of its columns."""

    features: dict[str, float | str]


class Rows(BaseModel):
    """Many rows of numbers."""

    features: list[list[float]]


def predict(row: Row) -> dict[str, int]:
    """Answer one row."""
    return {"prediction": int(MODEL.predict([row.features])[0])}


def predict_named(row: NamedRow) -> dict[str, int]:
    """Answer one row of columns."""
    import pandas as pd  # only here: the other models are served without it

    return {"prediction": int(MODEL.predict(pd.DataFrame([row.features]))[0])}


def predict_many(rows: Rows) -> dict[str, list[int]]:
    """Answer many rows in one call of the model."""
    return {"predictions": MODEL.predict(rows.features).tolist()}


async def predict_on_loop(row: Row) -> dict[str, int]:
    """Answer one row without a thread."""
    return predict(row)


async def predict_named_on_loop(row: NamedRow) -> dict[str, int]:
    """Answer one row of columns without a thread."""
    return predict_named(row)


async def predict_many_on_loop(rows: Rows) -> dict[str, list[int]]:
    """Answer many rows without a thread."""
    return predict_many(rows)


ENDPOINTS = {
    ("numbers", "def"): predict,
    ("numbers", "async"): predict_on_loop,
    ("columns", "def"): predict_named,
    ("columns", "async"): predict_named_on_loop,
}


def main() -> None:
    """Serve on the port that the last argument names."""
    _, _, rows, form, port = sys.argv
    app = FastAPI()
    app.add_api_route("/predict", ENDPOINTS[rows, form], methods=["POST"])
    many = predict_many_on_loop if form == "async" else predict_many
    app.add_api_route("/predict-many", many, methods=["POST"])
    uvicorn.run(app, host="127.0.0.1", port=int(port), workers=1, log_level="warning")


if __name__ == "__main__":
    main()
