"""The picture of what is live."""

from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from modeld.control.web.badge import add_badge, draw
from modeld.control.web.calls import Answer, Calls
from modeld.http.auth import AdminAccess, Caller

STRANGER = Caller({}, "192.0.2.7", "192.0.2.1", "1.1")
SVG = "{http://www.w3.org/2000/svg}"


async def badge(query: str = "", *, health: str = "Healthy", **live: str) -> Answer:
    calls = Calls(AdminAccess(token="t" * 16, port=1, is_loopback=False, public_url=""))
    status: Any = SimpleNamespace(health=lambda: (health, "reason"))
    publisher: Any = SimpleNamespace(live_versions=lambda: live)
    add_badge(calls, cast("Any", status), cast("Any", publisher))
    return await calls.answer("GET", f"/badge.svg{query}", STRANGER, b"", "id")


def texts(picture: bytes) -> list[str | None]:
    return [each.text for each in ElementTree.fromstring(picture).iter(f"{SVG}text")]  # noqa: S314


async def test_anybody_may_see_what_is_live() -> None:
    answer = await badge(default="v2")

    assert answer.status == 200
    assert texts(answer.body) == ["model", "v2"]
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Type"].startswith("image/svg+xml")


async def test_a_model_is_asked_for_by_name() -> None:
    assert texts((await badge("?model=churn", default="v2", churn="c7")).body) == ["churn", "c7"]


async def test_nothing_live_is_said() -> None:
    assert texts((await badge(health="NotReady")).body) == ["model", "nothing live"]


async def test_health_shows_in_the_colour_and_in_the_title() -> None:
    pictures = {
        health: (await badge(health=health, default="v2")).body
        for health in ("Healthy", "Progressing", "Degraded", "NotReady")
    }

    assert len(set(pictures.values())) == 4
    assert all(f"model: v2, {health}".encode() in body for health, body in pictures.items())


@pytest.mark.parametrize("name", ["%3Cscript%3Ealert(1)%3C/script%3E", "%00", "%ED%B2%80", "x"])
async def test_a_name_that_nobody_gave_a_model_is_not_repeated(name: str) -> None:
    answer = await badge(f"?model={name}", default="v2")

    assert answer.status == 404
    assert texts(answer.body) == ["model", "not live"]


def test_whatever_is_drawn_is_text() -> None:
    hostile = """<script>"&'\ud800"""

    picture = draw(hostile, hostile, "#fff", hostile)

    assert b"<script" not in picture
    assert texts(picture) == ["""<script>"&'?"""] * 2


def test_a_picture_needs_nothing_that_a_policy_could_forbid() -> None:
    picture = draw("model", "v2", "#fff", "title")

    for word in (b"style", b"script", b"href", b"url(", b"on="):
        assert word not in picture
