"""Run an ONNX file behind a bare parser: what uvloop, httptools, orjson and onnxruntime allow.

It is no server for anybody: it routes nothing, checks nothing, counts nothing and knows no
errors. Whatever a real server does comes on top of this, so it is the limit for one.

Runs on modeld's own interpreter and libraries. usage: limit.py FILE PORT
"""

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import httptools
import numpy as np
import onnxruntime
import orjson
import uvloop

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}

Answer = Callable[[bytes], bytes]


class Limit(asyncio.Protocol):
    """One connection."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self.parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """Gather the body."""
        self.body.append(part)

    def on_message_complete(self) -> None:
        """Answer."""
        answer = self.answer(b"".join(self.body))
        self.body.clear()
        self.transport.write(_HEAD % (len(answer), answer))


def open_model(file: str) -> Answer:
    """Open the file, with the one thread that the one core has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (put,), take = session.get_inputs(), [session.get_outputs()[0].name]
    name, dtype, run = put.name, _TYPES[put.type], session.run

    def answer(body: bytes) -> bytes:
        features = orjson.loads(body)["features"]
        if isinstance(features[0], list):
            labels = run(take, {name: np.array(features, dtype)})[0]
            return orjson.dumps({"predictions": labels.tolist()})
        label = run(take, {name: np.array([features], dtype)})[0][0]
        return orjson.dumps({"prediction": label.item()})

    return answer


async def main() -> None:
    """Serve on the port that the last argument names."""
    answer = open_model(sys.argv[1])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Limit(answer), "127.0.0.1", int(sys.argv[-1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
