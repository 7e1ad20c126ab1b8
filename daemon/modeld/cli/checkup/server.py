"""Look at the running server, where there is one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeld.cli.checkup.finding import Finding, ok, problem, warning
from modeld.cli.client import NoServer, call, place_of
from modeld.config import Settings
from modeld.control.runtime_folder import Place

_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server, as it was found. `status` and `decisions` are empty where it does not answer."""

    place: Place | None
    status: dict[str, Any]
    decisions: list[Any]


def find_running(settings: Settings) -> Running:
    """Ask the server for its status and its decisions."""
    place: Place | None = None
    try:
        place = place_of(settings)
        status = call(settings, "GET", "/admin/status", seconds=_PATIENCE_SECONDS)
        told = call(settings, "GET", "/admin/decisions", seconds=_PATIENCE_SECONDS)
    except NoServer:
        return Running(place, {}, [])
    decisions = told.content.get("decisions", []) if told.is_ok else []
    return Running(place, status.content if status.is_ok else {}, decisions)


def check_server(running: Running) -> Iterator[Finding]:
    """See whether it answers, how it is, and who may use its admin API."""
    place, status = running.place, running.status
    if place is None:
        yield ok("server", "none runs here")
        return
    if not status:
        if Path(f"/proc/{place.pid}").exists():
            message = f"process {place.pid} does not answer"
            yield problem("server", message, "kill", "-USR1", str(place.pid))
        else:
            yield warning("server", f"process {place.pid} is gone", "modeld", "serve")
        return
    yield _check_health(status)
    yield _check_admin(status.get("admin", ""))


def _check_health(status: dict[str, Any]) -> Finding:
    sync, health = status["sync"]["status"], status["health"]["status"]
    summary = str(status["summary"])
    if (sync, health) == ("Synced", "Healthy"):
        return ok("server", summary)
    is_bad = health in ("NotReady", "Degraded")
    return Finding("server", "problem" if is_bad else "warning", summary, str(status["next"]))


def _check_admin(access: str) -> Finding:
    if access == "closed":
        message = "the header of a proxy closed it to callers without a token"
        return problem(
            "admin", message, "env", "MODELD_ADMIN_TOKEN_FILE=token",
            "MODELD_PUBLIC_URL=https://models.example.org", "modeld", "serve",
        )  # fmt: skip
    said = {"open": "open to this user on this machine", "token": "open to those with the token"}
    return ok("admin", said.get(access, "this server does not say"))
