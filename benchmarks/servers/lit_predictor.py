"""Serve `model.predict` with LitServe: one worker, batches, its faster queue.

A time-out of 0 takes what has gathered and waits for nothing, but its worker then spins while
nothing comes, on the core that it shares with the server; hence the millisecond.
usage: lit_predictor.py MODEL PORT
"""

import sys
from typing import Any

import joblib
import litserve
import numpy as np


class Predictor(litserve.LitAPI):  # type: ignore[misc]  # a peer's class, without types here
    """Joins the rows of several requests into one call of the model."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.model = joblib.load(sys.argv[1])

    def decode_request(self, request: dict[str, list[float]]) -> list[float]:
        """Take the row out of a request."""
        return request["features"]

    def batch(self, inputs: list[list[float]]) -> Any:
        """Join rows."""
        return np.array(inputs)

    def predict(self, x: Any) -> Any:
        """Answer the rows of a batch."""
        return self.model.predict(x)

    def unbatch(self, output: Any) -> list[int]:
        """Part the answers."""
        return [int(label) for label in output]

    def encode_response(self, output: int) -> dict[str, int]:
        """Put an answer into a response."""
        return {"prediction": output}


def main() -> None:
    """Serve on the port that the last argument names."""
    api = Predictor(max_batch_size=128, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[-1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
