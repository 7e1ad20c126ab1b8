"""Who is measured."""

from pathlib import Path

import pytest

from benchmarks import contenders, lineup, peers
from benchmarks.cases import BUSY, THOROUGH
from benchmarks.contenders import Contender
from benchmarks.lineup import Choice, line_up
from benchmarks.models import KINDS, Model, Rows

SETTINGS = frozenset({"compile", "express"})


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Model]:
    """Models without a file that could be opened."""
    return {
        kind.name: _model(tmp_path / "trained" / kind.name, number)
        for number, kind in enumerate(KINDS)
    }


def _model(folder: Path, number: int) -> Model:
    folder.mkdir(parents=True)
    for name in ("model.joblib", "samples.json"):
        (folder / name).write_text("")
    rows = Rows(([1.0],), (1,))
    return Model(KINDS[number], folder, rows, rows)


@pytest.fixture(autouse=True)
def _compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A modeld that compiles, and has done so."""
    monkeypatch.setattr(contenders, "known_settings", lambda: SETTINGS)
    monkeypatch.setattr(contenders, "compiled_file", lambda _deployment: Path("compiled.onnx"))
    monkeypatch.setattr(lineup, "_compile", lambda *_: None)


def line(models: dict[str, Model], folder: Path, choice: Choice) -> list[Contender]:
    return line_up(models, folder / "run", choice, 0, lambda _text: None)[0]


def test_every_server_is_lined_up(models: dict[str, Model], tmp_path: Path) -> None:
    found = line(models, tmp_path, Choice())

    regressions = [one.server for one in found if one.about == "regression"]
    assert sorted(regressions) == sorted(
        [
            contenders.FASTAPI_ASYNC,
            contenders.FASTAPI_DEF,
            contenders.NATIVE,
            contenders.COMPILED,
            contenders.EXPRESS_OFF,
            contenders.ONE_WORKER,
            contenders.TWO_WORKERS,
            contenders.LIMIT,
        ]
    )
    customs = {one.server for one in found if one.about == "custom"}
    assert customs == {contenders.FASTAPI_ASYNC, contenders.FASTAPI_DEF, contenders.NATIVE}


def test_a_choice_narrows_servers_models_and_cases(
    models: dict[str, Model], tmp_path: Path
) -> None:
    choice = Choice(frozenset({"limit"}), frozenset({"forest"}), frozenset({BUSY}))

    (found,) = line(models, tmp_path, choice)

    assert (found.server, found.about, found.cases) == (contenders.LIMIT, "forest", (BUSY,))


def test_settings_reach_the_server(models: dict[str, Model], tmp_path: Path) -> None:
    found = {one.server: one for one in line(models, tmp_path, Choice())}

    assert found[contenders.NATIVE].environment["MODELD_COMPILE"] == "never"
    assert found[contenders.EXPRESS_OFF].environment["MODELD_EXPRESS"] == "off"
    assert "MODELD_COMPILE" not in found[contenders.COMPILED].environment


def test_the_empty_handler_is_due_to_answer_one(models: dict[str, Model], tmp_path: Path) -> None:
    (found,) = line(models, tmp_path, Choice(servers=frozenset({"empty"})))

    assert set(found.model.samples.outputs) == {1}
    assert set(found.cases) == {case for case in THOROUGH if case.rows == 1}


def test_a_peer_that_is_not_installed_is_absent_with_the_reason(
    models: dict[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "BUILD", tmp_path / "nowhere")

    _, absent = line_up(models, tmp_path / "run", Choice(has_peers=True), 0, lambda _text: None)

    assert {one.server for one in absent} == {peer.server for peer in peers.PEERS}
    assert all("could not be run" in one.why for one in absent)
