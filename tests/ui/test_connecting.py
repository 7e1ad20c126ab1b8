"""Reach the server: with a token, after a restart, while a worker dies."""

import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.server import Server, cared_for, make_server
from tests.ui.conftest import Opener

TOKEN = "a-token/of+many=kinds%of-letters"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks everybody for its token."""
    folder = tmp_path_factory.mktemp("guarded") / "repository"
    with cared_for(make_server(folder, is_light=True)) as server:
        server.start(MODELD_ADMIN_TOKEN=TOKEN)
        yield server


def shows_live(page: Page, version: str) -> None:
    expect(page.locator(".facts dd").first).to_have_text(version)


def test_the_token_is_asked_for_until_it_is_the_right_one(guarded: Server, opener: Opener) -> None:
    opener.expected = {401}
    page = opener.open(guarded)
    field = page.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("type", "password")

    field.fill("wröng ☃")
    page.get_by_role("button", name="Use it").click()
    expect(field).to_be_visible()
    expect(page.locator("#link")).to_have_text("Needs a token")
    expect(page.locator("#overview")).to_be_empty()

    field.fill(TOKEN)
    page.keyboard.press("Enter")
    shows_live(page, "v1")
    page.reload()
    shows_live(page, "v1")


def test_a_switch_with_a_token(guarded: Server, opener: Opener) -> None:
    page = opener.open(guarded, f"#token={TOKEN}")
    shows_live(page, "v1")
    page.get_by_role("button", name="Make v2 live").click()
    page.get_by_role("button", name="Switch to v2").click()

    expect(page.locator("#announced")).to_contain_text("v2 is live")


def test_a_token_in_the_address_does_not_stay_there(guarded: Server, opener: Opener) -> None:
    opener.expected = {401}
    page = opener.open(guarded, "#token=abc")

    expect(page).to_have_url(re.compile(r"/ui$"))
    assert page.evaluate("localStorage.length") == 0
    assert page.evaluate("document.cookie") == ""
    expect(page.locator("#token")).to_be_visible()


@pytest.mark.light
def test_the_page_comes_back_after_a_restart(server: Server, opener: Opener) -> None:
    opener.expected = {0, 503}
    page = opener.open(server)
    shows_live(page, "v1")
    port = str(server.port)

    server.stop()
    expect(page.locator("#link")).to_have_text("Not connected; trying again")
    server.write_state("active: v2\n")
    server.start("--port", port)

    expect(page.locator("#link")).to_have_text("Live", timeout=20_000)
    shows_live(page, "v2")


@pytest.mark.light
def test_the_page_survives_the_death_of_a_worker(server: Server, opener: Opener) -> None:
    opener.expected = {0}
    page = opener.open(server)
    shows_live(page, "v1")

    os.kill(server.workers()[0], signal.SIGKILL)
    server.wait_until_live("v1")
    server.write_state("active: v2\n")

    shows_live(page, "v2")
