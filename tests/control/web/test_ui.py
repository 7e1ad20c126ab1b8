"""The files of the page: what is public, and what a browser may do with it."""

import re

import pytest

from modeld.control.web.calls import Calls
from modeld.control.web.ui import add_ui, read_files
from modeld.http.auth import AdminAccess, Caller
from tests.support.owners import unknown_owner

STRANGER = Caller({"host": "models.example.org"}, "192.0.2.7", "192.0.2.1", "1.1")
FILES = sorted(read_files())


@pytest.fixture
def calls() -> Calls:
    access = AdminAccess(
        token="secret", port=8000, is_loopback=False, public_url="", owner_of=unknown_owner
    )
    calls = Calls(access)
    add_ui(calls)
    return calls


async def get(calls: Calls, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    caller = Caller({**STRANGER.headers, **headers}, STRANGER.peer, STRANGER.local, "1.1")
    answer = await calls.answer("GET", path, caller, b"", "id")
    return answer.status, dict(answer.headers), answer.body


def path_of(name: str) -> str:
    return "/ui" if name == "index.html" else f"/ui/{name}"


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_public_and_strict(calls: Calls, name: str) -> None:
    status, headers, body = await get(calls, path_of(name))

    assert status == 200
    assert body == read_files()[name].content
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"


async def test_what_the_browser_has_is_not_sent_again(calls: Calls) -> None:
    _, headers, _ = await get(calls, "/ui/app.js")

    status, _, body = await get(calls, "/ui/app.js", **{"if-none-match": headers["ETag"]})
    assert (status, body) == (304, b"")

    status, _, body = await get(calls, "/ui/app.js", **{"if-none-match": '"another"'})
    assert status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/ui/../calls.py",
        "/ui/..%2fcalls.py",
        "/ui/%2e%2e/calls.py",
        "/ui/static/app.js",
        "/ui//app.js",
        "/ui/app.js/",
        "/ui/index.html",
        "/ui/__init__.py",
        "/ui/app.js%00.css",
        "/ui/\\..\\calls.py",
    ],
)
async def test_a_path_that_is_not_in_the_table_is_no_file(calls: Calls, path: str) -> None:
    status, _, body = await get(calls, path)

    assert status in (401, 404)
    assert b'"error"' in body


async def test_a_slash_at_the_end_leads_to_the_page(calls: Calls) -> None:
    status, headers, _ = await get(calls, "/ui/")

    assert status == 308
    assert headers["Location"] == "../ui"


def test_the_page_asks_nobody_else_for_anything() -> None:
    for name, file in read_files().items():
        text = file.content.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), name


def test_the_page_has_no_script_or_style_of_its_own_in_the_markup() -> None:
    """The policy would block it."""
    shell = read_files()["index.html"].content.decode()

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", shell)


def test_what_the_server_says_never_becomes_markup() -> None:
    for name, file in read_files().items():
        text = file.content.decode()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text
        ), name


def test_modules_are_short() -> None:
    """They are for reading, as they are: nothing is built."""
    for name, file in read_files().items():
        assert len(file.content.splitlines()) <= 300, name
