"""The front door: what is here, for people and programs that come without a path."""

from modeld import __version__
from modeld.control.status import Status
from modeld.control.web.calls import Answer, Call, Calls, json_answer


def add_index(calls: Calls, status: Status) -> None:
    """Add `/`."""

    async def index(_call: Call) -> Answer:
        routes = {
            "/predict": ("POST",),
            "/healthz": ("GET",),
            "/readyz": ("GET",),
            **calls.paths(),
        }
        return json_answer(
            {
                "modeld": __version__,
                "summary": status.summary(),
                "routes": {path: list(methods) for path, methods in sorted(routes.items())},
            }
        )

    calls.add("GET", "/", index, is_public=True)
