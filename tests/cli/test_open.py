"""Where the page is, for this machine and for a phone."""

from pathlib import Path

import pytest
import segno

from modeld.cli.open import Page, code_lines, page_of
from modeld.config import Settings, load_settings
from modeld.control.runtime_folder import Place

EVERYWHERE = "0.0.0.0"  # noqa: S104  # an address to look at, not to listen on


def settings(folder: Path, public_url: str = "") -> Settings:
    return load_settings({}, environ={"MODELD_PUBLIC_URL": public_url}, folder=folder)


@pytest.mark.parametrize(
    ("host", "page"),
    [
        ("127.0.0.1", Page("http://127.0.0.1:80/ui", "")),
        ("localhost", Page("http://localhost:80/ui", "")),
        ("::1", Page("http://[::1]:80/ui", "")),
        ("10.0.0.7", Page("http://10.0.0.7:80/ui", "http://10.0.0.7:80/ui")),
    ],
)
def test_an_address_that_is_not_loopback_is_for_others_too(
    tmp_path: Path, host: str, page: Page
) -> None:
    assert page_of(settings(tmp_path), Place(1, host, 80, "")) == page


@pytest.mark.parametrize(("host", "own"), [(EVERYWHERE, "127.0.0.1"), ("::", "[::1]")])
def test_all_addresses_are_reached_by_that_of_this_machine_in_its_network(
    tmp_path: Path, host: str, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modeld.cli.open._own_address", lambda: "192.168.1.5")

    page = page_of(settings(tmp_path), Place(1, host, 80, ""))

    assert page == Page(f"http://{own}:80/ui", "http://192.168.1.5:80/ui")


@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_without_a_network_no_phone_gets_there(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modeld.cli.open._own_address", lambda: address)

    assert page_of(settings(tmp_path), Place(1, EVERYWHERE, 80, "")).elsewhere == ""


@pytest.mark.parametrize(
    ("url", "is_far"),
    [("https://models.example.org", True), ("http://[::1]:81", False), ("http://localhost", False)],
)
def test_the_public_address_is_taken_where_there_is_one(
    tmp_path: Path, url: str, is_far: bool
) -> None:
    page = page_of(settings(tmp_path, url), Place(1, "127.0.0.1", 80, ""))

    assert page == Page(f"{url}/ui", f"{url}/ui" if is_far else "")


@pytest.mark.parametrize("length", [1, 40, 200])
def test_a_code_has_two_rows_in_a_line_and_draws_what_is_light(length: int) -> None:
    url = "http://10.0.0.7/" + "x" * length

    halves: list[list[int]] = []
    for line in code_lines(url):
        halves += [[int(each in " ▄") for each in line], [int(each in " ▀") for each in line]]

    expected = [list(row) for row in segno.make(url, error="m", micro=False).matrix_iter(border=4)]
    assert halves[: len(expected)] == expected
