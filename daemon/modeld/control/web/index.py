"""The front door: the page for browsers, and for programs what is here."""

from collections.abc import Mapping

from modeld import __version__
from modeld.control.status import Status
from modeld.control.web.calls import Answer, Call, Calls, json_answer


def add_index(calls: Calls, status: Status) -> None:
    """Add `/`, and the health routes for while no worker is up."""

    async def index(call: Call) -> Answer:
        if "text/html" in call.caller.headers.get("accept", ""):
            return Answer(303, b"", {"Location": "ui", "Vary": "Accept"})
        routes = {"/predict": ("POST",), **calls.paths()}
        return json_answer(
            {
                "modeld": __version__,
                "summary": status.summary(),
                "routes": {path: list(methods) for path, methods in _shown(routes)},
            },
            headers={"Vary": "Accept"},
        )

    async def healthz(_call: Call) -> Answer:
        return json_answer({"status": "degraded", "summary": status.summary()})

    async def readyz(_call: Call) -> Answer:
        return json_answer({"status": "degraded", "summary": status.summary()}, 503)

    calls.add("GET", "/", index, is_public=True)
    # Workers answer these themselves; here they are asked for while no worker is up.
    calls.add("GET", "/healthz", healthz, is_public=True)
    calls.add("GET", "/readyz", readyz, is_public=True)


def _shown(routes: Mapping[str, tuple[str, ...]]) -> list[tuple[str, tuple[str, ...]]]:
    """Leave out what only the page asks for: its files."""
    return [(path, routes[path]) for path in sorted(routes) if not path.startswith("/ui/")]
