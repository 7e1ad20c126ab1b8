"""Use the page as people do: look, switch, be refused, go back, try."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from onnx import helper
from playwright.sync_api import Page, Route, expect

from tests.support.server import Server, cared_for, eventually, make_server
from tests.support.versions import write_onnx, write_samples
from tests.ui.conftest import Opener

MARKUP = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
LONG = "a-version-with-a-name-as-long-as-names-may-be-0123456789.abcdefg"
PHONE = {"width": 360, "height": 740}
TRAINED = "format: onnx\ntrained:\n  at: '2026-05-{0}T09:00:00Z'\n  metrics: {{accuracy: 0.9{0}}}\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests, with a version for everything that they are about."""
    folder = tmp_path_factory.mktemp("page") / "repository"
    with cared_for(make_server(folder, ("v1", "v2", "v3"), is_light=True)) as server:
        for number in (1, 2, 3):
            write_samples(server.models / f"v{number}", [[1, 2, 3, 4]], [10])
            (server.models / f"v{number}" / "model.yaml").write_text(TRAINED.format(10 + number))
        write_samples(write_onnx(server.models / "wrong"), [[1, 2, 3, 4]], [11])
        write_negative(server.models / "negative")
        write_onnx(server.models / LONG)
        hostile = write_onnx(server.models / "hostile")
        manifest = {"trained": {"commit": MARKUP, "at": MARKUP, "metrics": {MARKUP: 0.5}}}
        (hostile / "model.yaml").write_text(json.dumps(manifest))
        for version in ("c1", "c2"):
            write_onnx(server.models / "churn" / version, producer=version)
        server.git("add", "-A")
        server.git("commit", "-qm", "Add versions")
        server.start()
        server.wait_until_live("v1")
        yield server


def write_negative(folder: Path) -> None:
    """Write a version that gives the sum with another sign."""
    path = write_onnx(folder) / "model.onnx"
    model = onnx.load(path)
    model.graph.node[0].output[0] = "positive"
    model.graph.node.append(helper.make_node("Neg", ["positive"], ["answer"]))
    onnx.save(model, path)


@pytest.fixture
def server(running: Server) -> Server:
    """The server with v1 live as it was committed, and nothing held."""
    for hold in running.get("/admin/holds").json["holds"]:
        running.call("DELETE", f"/admin/holds/{hold['version']}?model={hold['model']}")
    running.write_state("active: v1\n")
    if running.git("status", "--porcelain", "state"):
        running.git("commit", "-qam", "Start over")
    eventually(lambda: running.status()["sync"]["status"] == "Synced", "v1 as committed")
    running.wait_until_live("v1")
    return running


@pytest.fixture
def page(server: Server, opener: Opener) -> Page:
    page = opener.open(server)
    expect(page.locator("#versions .version").first).to_be_visible()
    return page


def begin(page: Page, version: str, reason: str = "") -> None:
    """Ask for a switch, and wait until the dialog shows what will change."""
    page.get_by_role("button", name=f"Make {version} live", exact=True).click()
    expect(page.locator("#change")).to_contain_text("Live now")
    expect(page.locator("#change")).not_to_contain_text("Comparing")
    if reason:
        page.get_by_label("Reason").fill(reason)


def shows_live(page: Page, version: str) -> None:
    expect(page.locator(".facts dd").first).to_have_text(version)


def test_what_is_live_and_why_is_there_at_once(page: Page) -> None:
    expect(page.locator(".summary")).to_contain_text("Serving v1 since")
    expect(page.locator(".states")).to_contain_text("Synced")
    expect(page.locator(".states")).to_contain_text("what is live answers")
    expect(page.locator(".facts")).to_contain_text(re.compile("First state|Start over"))
    expect(page.locator("#link")).to_have_text("Live")
    row = page.locator(".version", has_text="v2").first
    expect(row).to_contain_text("accuracy 0.912")


def test_a_switch_takes_two_clicks_and_keeps_the_reason(page: Page, server: Server) -> None:
    begin(page, "v2", "v1 is too slow")
    expect(page.locator("#change")).to_contain_text("0.912 (+0.001)")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Switch to v2").click()

    expect(page.locator("#announced")).to_contain_text("v2 is live; before it was v1.")
    shows_live(page, "v2")
    assert server.state.read_text() == "active: v2\n"
    first = page.locator("#history .entry").first
    expect(first).to_contain_text("v1 → v2")
    expect(first).to_contain_text("v1 is too slow")
    expect(first).to_contain_text("Ada")
    expect(page.locator(".next")).to_contain_text("git commit")


def test_a_version_that_fails_is_refused_with_the_reason(
    page: Page, opener: Opener, server: Server
) -> None:
    opener.expected = {422}
    begin(page, "wrong", "hope")
    page.get_by_role("button", name="Switch to wrong").click()

    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Refused, and nothing has changed.")
    expect(alert).to_contain_text("golden sample 1 of 1")
    page.keyboard.press("Escape")
    expect(page.locator("#change")).to_be_hidden()
    shows_live(page, "v1")
    assert server.live() == "v1"


def test_who_was_slower_is_told_and_may_look_again(
    page: Page, opener: Opener, server: Server
) -> None:
    opener.expected = {409}
    other = opener.open(server)
    begin(page, "v2", "slower")
    begin(other, "v3", "faster")
    other.get_by_role("button", name="Switch to v3").click()
    expect(other.locator("#announced")).to_contain_text("v3 is live")

    page.get_by_role("button", name="Switch to v2").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody was faster.")
    assert server.live() == "v3"

    page.get_by_role("button", name="Look again").click()
    expect(page.locator("#change")).to_contain_text("Live now: v3")
    page.get_by_role("button", name="Switch to v2").click()
    expect(page.locator("#announced")).to_contain_text("v2 is live; before it was v3.")
    shows_live(other, "v2")


def test_a_rollback_goes_back_and_holds_what_was_bad(page: Page, server: Server) -> None:
    begin(page, "v2")
    page.get_by_role("button", name="Switch to v2").click()
    shows_live(page, "v2")

    page.get_by_role("button", name="Roll back to v1").click()
    expect(page.locator("#change")).to_contain_text("v2 will be held")
    page.get_by_label("Reason").fill("wrong answers")
    page.locator("#change").get_by_role("button", name="Roll back to v1").click()

    expect(page.locator("#announced")).to_contain_text("v2 is held.")
    shows_live(page, "v1")
    expect(page.locator("#overview")).to_contain_text("as committed in")
    holds = page.locator("#holds")
    expect(holds).to_contain_text("wrong answers")

    holds.get_by_role("button", name="Release v2").click()
    page.locator("#change").get_by_role("button", name="Release v2").click()
    expect(page.locator("#announced")).to_have_text("v2 is released.")
    expect(holds).to_be_hidden()
    assert server.live() == "v1"


def test_every_entry_of_the_history_has_a_way_back(page: Page, server: Server) -> None:
    for version in ("v3", "v2"):
        server.admin("set-active-version", {"version": version})
    shows_live(page, "v2")

    page.locator("#history").get_by_role("button", name="Back to v3").first.click()
    page.locator("#change").get_by_role("button", name="Roll back to v3").click()

    shows_live(page, "v3")
    expect(page.locator("#history .entry").first).to_contain_text("by a rollback")


def test_a_commit_shows_without_a_reload(page: Page, server: Server) -> None:
    server.write_state("active: v3\n")
    server.git("commit", "-qam", "Serve v3 from now on")

    shows_live(page, "v3")
    expect(page.locator(".facts")).to_contain_text("Serve v3 from now on")
    expect(page.locator("#history .entry").first).to_contain_text("Serve v3 from now on")


def test_a_text_that_breaks_a_rule_shows_with_what_to_do(page: Page, server: Server) -> None:
    server.write_state("active: [\n")

    expect(page.locator(".states")).to_contain_text("Invalid")
    expect(page.locator(".states")).to_contain_text("breaks a rule")
    expect(page.locator(".next")).to_contain_text("state/active.yaml")
    shows_live(page, "v1")


def test_what_others_wrote_is_text_and_nothing_else(
    page: Page, opener: Opener, server: Server
) -> None:
    given = {"version": "hostile", "reason": MARKUP, "actor": MARKUP}
    assert server.admin("set-active-version", given).status == 200
    shows_live(page, "hostile")

    expect(page.locator(".version", has_text="hostile").first).to_contain_text(MARKUP)
    first = page.locator("#history .entry").first
    expect(first.locator(".reason")).to_have_text(MARKUP)
    page.get_by_role("button", name="Make v1 live", exact=True).click()
    expect(page.locator("#change")).to_contain_text(MARKUP)
    assert page.locator("img, #main b, #change b").count() == 0
    expect(page).to_have_title("hostile · modeld")


def test_a_switch_by_keyboard_alone(page: Page, server: Server) -> None:
    button = page.get_by_role("button", name="Make v2 live", exact=True)
    for _ in range(60):
        if button.evaluate("each => each === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(button).to_be_focused()
    assert button.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()

    page.keyboard.type("by hand")
    page.keyboard.press("Enter")

    expect(page.locator("#announced")).to_contain_text("v2 is live")
    assert server.live() == "v2"


def test_the_focus_stays_in_the_dialog_and_comes_back(page: Page) -> None:
    begin(page, "v2")
    for _ in range(8):
        page.keyboard.press("Tab")
        inside = (
            "document.activeElement.closest('dialog') || document.activeElement === document.body"
        )
        assert page.evaluate(f"Boolean({inside})")

    page.keyboard.press("Escape")

    expect(page.get_by_role("button", name="Make v2 live", exact=True)).to_be_focused()


def test_a_change_elsewhere_does_not_take_the_focus_away(page: Page, server: Server) -> None:
    button = page.get_by_role("button", name="Make v2 live", exact=True)
    button.focus()

    server.admin("set-active-version", {"version": "v3"})
    shows_live(page, "v3")

    expect(button).to_be_focused()


def test_a_golden_row_is_tried_on_two_versions(page: Page) -> None:
    form = page.locator("#try")
    expect(form.get_by_label("JSON")).to_have_value("[1,2,3,4]")
    form.get_by_label("Beside it").select_option("negative")
    form.get_by_role("button", name="Predict").click()

    answers = page.locator("#answers")
    expect(answers).to_contain_text("They differ.")
    expect(answers.locator(".answer").first).to_contain_text("10")
    expect(answers.locator(".answer").last).to_contain_text("-10")
    expect(answers).to_contain_text("The golden answer is 10.")

    form.get_by_label("JSON").fill("[[1,1,1,1],[0,0,0,0]]")
    form.get_by_role("button", name="Predict").click()
    expect(answers).to_contain_text("They differ in row 1.")


def test_a_row_that_is_refused_says_why(page: Page, opener: Opener) -> None:
    opener.expected = {422}
    form = page.locator("#try")
    form.get_by_label("JSON").fill("[1, 2")
    form.get_by_role("button", name="Predict").click()
    expect(page.locator("#answers")).to_contain_text("This is not JSON")

    form.get_by_label("JSON").fill("[1, 2]")
    form.get_by_role("button", name="Predict").click()
    expect(page.locator("#answers")).to_contain_text("expected 4 values, got 2")


def test_what_is_typed_before_the_golden_rows_come_stays(server: Server, opener: Opener) -> None:
    page = opener.open(server)
    expect(page.locator("#try textarea")).to_be_visible()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/admin/samples*", hold)
    page.reload()
    page.locator("#try textarea").fill("[4, 3, 2, 1]")

    def is_asked() -> bool:
        page.wait_for_timeout(20)
        return bool(held)

    eventually(is_asked, "the golden rows asked for")
    page.unroute("**/admin/samples*", hold)  # which lets it go on
    expect(page.locator("#golden option").first).to_have_text("[1,2,3,4]")

    expect(page.locator("#try textarea")).to_have_value("[4, 3, 2, 1]")


def test_traffic_is_drawn_as_it_comes(page: Page, server: Server) -> None:
    chart = page.locator(".chart").first
    expect(chart).to_be_visible()

    def shows_requests() -> bool:
        server.predict({"features": [1, 2, 3, 4]})
        server.predict({"features": ["x"]})
        page.wait_for_timeout(50)
        return bool(page.evaluate("document.querySelectorAll('.chart path.line[d*=L]').length > 2"))

    eventually(shows_requests, "lines in the charts")
    label = chart.get_by_role("img").get_attribute("aria-label") or ""
    assert label.startswith("Requests per second, the last two minutes: v1")


def test_another_model_is_chosen_from_a_list(page: Page, server: Server) -> None:
    page.get_by_label("Model", exact=True).select_option("churn")
    expect(page.locator(".facts dd").first).to_have_text("nothing")
    expect(page.locator("#versions")).to_contain_text("c2")

    page.get_by_label("Model", exact=True).select_option("default")
    shows_live(page, "v1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(
    server: Server, opener: Opener, scheme: str, screenshot: Callable[[Page, str], Path]
) -> None:
    reason = "reason" * 80
    server.admin("set-active-version", {"version": LONG, "reason": reason, "actor": "x" * 90})
    server.git("commit", "-qam", "Serve it")  # or git would agree with going back, and end the hold
    assert server.admin("rollback", {"reason": reason}).status == 200
    page = opener.open(server, viewport=PHONE, color_scheme=scheme)
    expect(page.locator("#history .entry").first).to_be_visible()
    expect(page.locator("#holds")).to_be_visible()
    is_within = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(is_within)
    screenshot(page, f"phone-{scheme}")

    page.get_by_role("button", name=f"Make {LONG} live").click()
    expect(page.locator("#change table")).to_be_visible()
    assert page.evaluate(is_within)
    assert page.evaluate("document.querySelector('#change').scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_to_look_at(
    server: Server, opener: Opener, scheme: str, screenshot: Callable[[Page, str], Path]
) -> None:
    page = opener.open(server, color_scheme=scheme, viewport={"width": 1100, "height": 900})
    expect(page.locator("#history .entry").first).to_be_visible()
    expect(page.locator(".chart").first).to_be_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert screenshot(page, scheme).stat().st_size > 10_000
    assert (ground == "rgb(246, 247, 246)") is (scheme == "light")
