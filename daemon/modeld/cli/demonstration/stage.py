"""Look at a running server before a demo: may it be changed, between what, with which rows.

A demo leaves everything as it was. So it wants a server that serves what its file asks for,
and that makes no commits of changes.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from modeld.cli.client import Reply, call, place_of
from modeld.cli.open import page_of
from modeld.cli.options import user_name
from modeld.config import Settings
from modeld.config_values import url_of

_AT_REST = ("Applied", "Uncommitted")
Document = dict[str, Any]


class Unplayable(Exception):
    """Nothing can be shown on this server as it is; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A server that can be played on.

    `url` is where predictions go, `page` where a person looks.
    `others` are the versions that could take the place of `live`, the likeliest first.
    """

    settings: Settings
    model: str
    url: str
    page: str
    live: str
    others: tuple[str, ...]
    rows: Sequence[Any]
    page_needs_token: bool

    async def change(self, path: str, **content: Any) -> Reply:
        """Call the admin API for this model, in the demo's name; no hold is left.

        Raises `NoServer`.
        """
        content |= {"model": self.model, "reason": "modeld demo", "hold": False}
        content |= {"actor": user_name()}
        return await asyncio.to_thread(call, self.settings, "POST", f"/admin/{path}", content)


def look(settings: Settings, model: str) -> Stage:
    """Look at the server; raises `Unplayable`, or `NoServer` where there is none."""
    status = _get(settings, "/admin/status")
    if model not in status["models"]:
        known = ", ".join(status["models"])
        raise Unplayable(f"there is no model {model}; there are: {known}")
    live = status["models"][model]["active"]
    _check(status, live)
    versions = _get(settings, "/admin/versions")["models"][model]["versions"]
    place = place_of(settings)
    return Stage(
        settings=settings,
        model=model,
        url=url_of(place.host, place.port),
        page=page_of(settings, place).here,
        live=live,
        others=_others(status, versions, model),
        rows=_rows(settings, model, live),
        page_needs_token=status["admin"] != "open",
    )


def _get(settings: Settings, target: str) -> Document:
    reply = call(settings, "GET", target)
    if not reply.is_ok:
        raise Unplayable(str(reply.content.get("error")))
    return reply.content


def _check(status: Document, live: str | None) -> None:
    if live is None or status["sync"]["reason"] not in _AT_REST:
        advice = f" Next: {status['next']}" if status["next"] else ""
        raise Unplayable(f"a demo needs a server that is at rest. {status['summary']}{advice}")
    mode = status["git"]["changes"]["mode"]
    if mode != "never":
        raise Unplayable(
            f"this server makes commits of changes (MODELD_GIT_COMMIT={mode}), and a demo "
            "belongs into nobody's history; serve with MODELD_GIT_COMMIT=never"
        )


def _others(status: Document, versions: list[Document], model: str) -> tuple[str, ...]:
    """Name the versions to switch to.

    To name a held one would release it. A rollback passes over what the demo came back from,
    so where it would go comes last.
    """
    content = status["models"][model]
    held = {hold["version"] for hold in status["holds"] if hold["model"] == model}
    names = [each["version"] for each in versions if each["state"] != "unusable"]
    free = [name for name in names if name not in held and name != content["active"]]
    if not free:
        held_too = " that is not held" if held else ""
        raise Unplayable(
            f"a demo switches between two versions, and there is none{held_too} beside "
            f"{content['active']}; add one: modeld add PATH"
        )
    target = content["rollback_target"]
    likely = [name for name in reversed(free) if name != target]
    return (*likely, *([target] if target in free else []))


def _rows(settings: Settings, model: str, live: str) -> Sequence[Any]:
    """Give the golden rows of the live version, or the row that it was tried with."""
    query = urlencode({"model": model, "version": live})
    content = _get(settings, f"/admin/samples?{query}")
    rows = [sample["input"] for sample in content["samples"]]
    if not rows and content["example"]:
        rows = [json.loads(content["example"])]
    if not rows:
        raise Unplayable(unknown_row(live, "nothing says what its rows look like"))
    return rows


def unknown_row(version: str, why: str) -> str:
    """Say that there is nothing to ask a version for."""
    return (
        f"no row is known that {version} answers: {why}. "
        "Give it golden samples: samples.json, see docs/formats.md"
    )
