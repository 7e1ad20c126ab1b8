"""The front door: what is here, for people and programs that come without a path."""

from modeld import __version__
from modeld.control.status import Status
from modeld.control.web.calls import Answer, Call, Calls, json_answer


def add_index(calls: Calls, status: Status) -> None:
    """Add `/`, and the health routes for while no worker is up."""

    async def index(_call: Call) -> Answer:
        routes = {"/predict": ("POST",), **calls.paths()}
        return json_answer(
            {
                "modeld": __version__,
                "summary": status.summary(),
                "routes": {path: list(methods) for path, methods in sorted(routes.items())},
            }
        )

    async def healthz(_call: Call) -> Answer:
        return json_answer({"status": "degraded", "summary": status.summary()})

    async def readyz(_call: Call) -> Answer:
        return json_answer({"status": "degraded", "summary": status.summary()}, 503)

    calls.add("GET", "/", index, is_public=True)
    # Workers answer these themselves; here they are asked for while no worker is up.
    calls.add("GET", "/healthz", healthz, is_public=True)
    calls.add("GET", "/readyz", readyz, is_public=True)
