"""What holds for models of every format: they load, answer, refuse bad rows, and come back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modeld.control.intake import Intake
from modeld.domain import Artifact, ModelVersion
from modeld.errors import ModeldError, SamplesDiffer
from modeld.host.trial import try_out
from modeld.http.wire import decode
from modeld.repository.versions import Repository
from modeld.runtimes.golden import is_same
from modeld.runtimes.model import as_plain
from tests.runtimes.contract import CASES, Case
from tests.support.server import Server, cared_for, make_server
from tests.support.versions import write_samples

every_case = pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in CASES])


async def taken(folder: Path) -> Artifact:
    """Take the version `models/v1` of a folder in, as a server does."""
    intake = Intake(Repository(folder / "models"), folder / "staged")
    return (await intake.take(ModelVersion("default", "v1"), (), None)).artifact


@every_case
async def test_a_model_answers_as_it_should(case: Case, tmp_path: Path) -> None:
    """One row alone as well as many together."""
    case.make(tmp_path / "models" / "v1")

    model, loaded = try_out(await taken(tmp_path), 1 << 26)

    for rows, answers in (
        ({"instances": case.rows}, case.answers),
        *(
            ({"features": row}, [answer])
            for row, answer in zip(case.rows, case.answers, strict=True)
        ),
    ):
        read = decode(json.dumps(rows).encode(), loaded.signature, 10)
        assert is_same(answers, as_plain(model.predict(read.values), read.length))


@every_case
async def test_golden_samples_are_held_to(case: Case, tmp_path: Path) -> None:
    folder = case.make(tmp_path / "models" / "v1")
    write_samples(folder, case.rows[:1], case.answers[:1])
    artifact = await taken(tmp_path)

    loaded = try_out(artifact, 1 << 26)[1]
    write_samples(Path(artifact.samples).parent, case.rows[:1], case.answers[1:])

    assert json.loads(loaded.example) == case.rows[0]
    with pytest.raises(SamplesDiffer, match="golden sample 1 of 1"):
        try_out(artifact, 1 << 26)


@every_case
async def test_a_bad_row_is_refused_in_words(case: Case, tmp_path: Path) -> None:
    case.make(tmp_path / "models" / "v1")
    model, loaded = try_out(await taken(tmp_path), 1 << 26)

    def predict(row: object) -> object:
        rows = decode(json.dumps({"features": row}).encode(), loaded.signature, 10)
        return model.predict(rows.values)

    for row, code, says in case.bad:
        with pytest.raises(ModeldError) as caught:
            predict(row)
        assert (caught.value.code, says in str(caught.value)) == (code, True), str(caught.value)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = make_server(tmp_path_factory.mktemp("contract") / "repository", versions=())
    for case in CASES:
        case.make(server.models / case.name)
    server.write_state(f"active: {CASES[0].name}\n")
    with cared_for(server):
        yield server


@pytest.mark.light
def test_answers_survive_a_restart(server: Server) -> None:
    """Every case in one server; each is loaded when it is asked for."""
    server.start(MODELD_WORKERS="1", MODELD_MAX_LOADED="20")
    before = {case.name: ask(server, case) for case in CASES}
    server.stop()
    server.start(MODELD_WORKERS="1", MODELD_MAX_LOADED="20")

    after = {case.name: ask(server, case) for case in CASES}

    assert before == after
    for case in CASES:
        found, runtime, codes = before[case.name]
        assert is_same(case.answers, found), case.name
        assert runtime == case.runtime, case.name
        assert codes == [(422, code) for _, code, _ in case.bad], case.name


def ask(server: Server, case: Case) -> tuple[list[object], str, list[tuple[int, str]]]:
    """Ask for each row alone, and then for each bad one."""
    query = f"?version={case.name}"
    good = [server.predict({"features": row}, query) for row in case.rows]
    bad = [server.predict({"features": row}, query) for row, _, _ in case.bad]
    runtime = good[0].headers["X-Model-Runtime"]
    found = [answer.json.get("prediction", answer.json) for answer in good]
    return found, runtime, [(answer.status, answer.json["code"]) for answer in bad]
