"""Read a request and answer it without a model: what aiohttp on uvloop with orjson costs alone.

Runs on modeld's own interpreter and libraries. usage: bare_aiohttp.py PORT
"""

import sys

import orjson
import uvloop
from aiohttp import web


async def predict(request: web.Request) -> web.Response:
    """Predict nothing, at once."""
    orjson.loads(await request.read())
    answer = orjson.dumps({"prediction": 1})
    return web.Response(body=answer, content_type="application/json")


def main() -> None:
    """Serve on the port that the last argument names."""
    app = web.Application()
    app.router.add_post("/predict", predict)
    loop = uvloop.new_event_loop()
    port = int(sys.argv[-1])
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
