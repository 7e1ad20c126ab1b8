"""Serve `model.predict` with FastAPI, as its tutorials do: one process, one row, one call.

What can be had for nothing is given to it: uvloop, httptools, no access log. The form
`def` is what its documentation advises for calls that block, and takes a thread; `async`
spares that hop and blocks the loop. It runs on an interpreter of its own.
usage: plain_fastapi.py MODEL async|def PORT
"""

import sys

import joblib
import uvicorn  # type: ignore[import-not-found]  # a peer: installed beside modeld, not with it
from fastapi import FastAPI  # type: ignore[import-not-found]  # a peer, as above
from pydantic import BaseModel

MODEL = joblib.load(sys.argv[1])


class Row(BaseModel):
    """One row of features."""

    features: list[float]


def predict(row: Row) -> dict[str, int]:
    """Answer one row."""
    return {"prediction": int(MODEL.predict([row.features])[0])}


async def predict_on_loop(row: Row) -> dict[str, int]:
    """Answer one row without a thread."""
    return predict(row)


def main() -> None:
    """Serve on the port that the last argument names."""
    app = FastAPI()
    endpoint = predict_on_loop if sys.argv[2] == "async" else predict
    app.add_api_route("/predict", endpoint, methods=["POST"])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[-1]), workers=1, log_level="warning")


if __name__ == "__main__":
    main()
