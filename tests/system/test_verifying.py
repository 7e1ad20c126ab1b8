"""A repository is checked as a server would check it, before anything is merged."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from tests.support.server import Server, cared_for, make_server
from tests.support.versions import write_code, write_samples


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Server]:
    """A repository with v1, which is active, and v2; no server."""
    with cared_for(make_server(tmp_path / "repository")) as server:
        yield server


def manifest_of(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"files: {{model.pkl: {{size: {len(content)}, sha256: {digest}}}}}\n"


def point_to(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    head = "version https://git-lfs.github.com/spec/v1"
    return f"{head}\noid sha256:{digest}\nsize {len(content)}\n"


def problems(server: Server, *arguments: str, code: int = 1, **environment: str) -> str:
    done = server.command("verify", *arguments, **environment)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_good_repository_is_verified_and_its_version_proven(folder: Server) -> None:
    done = folder.command("verify")

    assert (done.returncode, done.stdout) == (
        0,
        "verified: 2 versions; v1 loaded and proven\n",
    ), done.stderr


def test_what_does_not_load_is_found_unless_nothing_is_loaded(folder: Server) -> None:
    write_code(folder.add_version("v3"), "1 / 0")
    folder.write_state("active: v3\n")

    found = problems(folder, code=2)
    assert found.startswith("v3: ")
    assert "division by zero" in found
    assert folder.command("verify", "--static").returncode == 0


def test_an_invalid_wish_is_named_with_its_line(folder: Server) -> None:
    folder.write_state("active: v1\nactiv: v2\n")

    assert problems(folder, "--static").startswith("state/active.yaml: line 2: ")


def test_a_version_that_is_not_there_is_a_problem(folder: Server) -> None:
    folder.write_state("active: v9\n")

    assert "there is no version v9" in problems(folder, "--static")


def test_each_problem_has_a_line(folder: Server) -> None:
    folder.write_state("active: v9\nalso: [v8]\n")
    (folder.models / "v2" / "model.yaml").write_text("formatt: pickle\n")

    assert len(problems(folder, "--static").splitlines()) == 3


def test_a_pickle_needs_a_digest_where_only_pinned_ones_are_trusted(folder: Server) -> None:
    content = (folder.models / "v1" / "model.pkl").read_bytes()

    assert "without a committed digest" in problems(folder, "--static", MODELD_TRUST="pinned")

    (folder.models / "v1" / "model.yaml").write_text(manifest_of(content))
    assert folder.command("verify", "--static", MODELD_TRUST="pinned").returncode == 0


def test_files_that_are_not_those_of_the_manifest_are_a_problem(folder: Server) -> None:
    (folder.models / "v2" / "model.yaml").write_text(manifest_of(b"another"))

    assert "v2: model.pkl: expected sha256" in problems(folder, "--static")


def test_a_pointer_will_do_where_the_manifest_lists_its_file(folder: Server) -> None:
    content = (folder.models / "v1" / "model.pkl").read_bytes()
    (folder.models / "v1" / "model.pkl").write_text(point_to(content))

    assert "git lfs pull" in problems(folder, "--static")

    (folder.models / "v1" / "model.yaml").write_text(manifest_of(content))
    assert folder.command("verify", "--static").returncode == 0
    assert "git lfs pull" in problems(folder)

    (folder.models / "v1" / "model.yaml").write_text(manifest_of(b"another"))
    assert "expected sha256" in problems(folder, "--static")


# Versions that are named


def test_a_version_that_is_named_is_loaded_too(folder: Server) -> None:
    done = folder.command("verify", "v2", "--json")

    document = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert document["summary"] == "verified: 2 versions; v1, v2 loaded and proven"
    assert [each["version"] for each in document["versions"]] == ["v1", "v2"]


def test_a_table_says_what_was_found(folder: Server) -> None:
    folder.command("compile", "v2")

    lines = folder.command("verify", "v2").stdout.splitlines()

    assert re.split(r"\s{2,}", lines[0].strip()) == [
        "version",
        "loads",
        "golden samples",
        "compiled",
    ]
    assert re.match(r"v1 +in [0-9.]+ s +as promised +no", lines[1])
    assert re.match(r"v2 +in [0-9.]+ s +as promised +equal on [0-9,]{5,} rows", lines[2])


def spoil_samples(folder: Path) -> None:
    write_samples(folder, [[6.3, 2.8, 5.1, 1.5]], [0])


def spoil_model(folder: Path) -> None:
    write_code(folder, "1 / 0")


def spoil_compiled(folder: Path) -> None:
    """The answers of another model, with this one's mark."""
    other = onnx.load(folder.parent / "v1" / "compiled.onnx")
    mark = onnx.load(folder / "compiled.onnx").metadata_props
    del other.metadata_props[:]
    other.metadata_props.extend(mark)
    onnx.save(other, folder / "compiled.onnx")


def mistake_compiled(folder: Path) -> None:
    """The compiled file of another version."""
    shutil.copy(folder.parent / "v1" / "compiled.onnx", folder / "compiled.onnx")


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (None, 0, ""),
        (spoil_samples, 3, "v2: golden sample 1 of 1: expected 0"),
        (spoil_model, 2, "division by zero"),
        (spoil_compiled, 4, "v2: compiled.onnx: "),
        (mistake_compiled, 4, "v2: compiled.onnx: it was compiled from other files"),
    ],
)
def test_the_exit_code_says_what_kind_of_thing_is_wrong(
    compiled_ones: Server, spoil: Callable[[Path], None] | None, code: int, says: str
) -> None:
    if spoil is not None:
        spoil(compiled_ones.models / "v2")

    done = compiled_ones.command("verify", "v2")

    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two example versions, each compiled."""
    server = make_server(tmp_path_factory.mktemp("compiled") / "repository")
    for version in ("v1", "v2"):
        assert server.command("compile", version).returncode == 0
    return server.models


@pytest.fixture
def compiled_ones(folder: Server, originals: Path) -> Server:
    shutil.copytree(originals, folder.models, dirs_exist_ok=True)
    return folder


def test_a_version_that_is_not_there_is_found_when_named(folder: Server) -> None:
    assert "there is no version v9" in problems(folder, "v9")


def test_a_version_of_a_named_model_is_named_with_it(folder: Server) -> None:
    shutil.copytree(folder.models / "v2", folder.models / "churn" / "v7")

    done = folder.command("verify", "churn@v7")

    assert done.stdout.endswith("verified: 3 versions; v1, churn@v7 loaded and proven\n")


def test_naming_versions_and_loading_none_is_a_mistake(folder: Server) -> None:
    assert folder.command("verify", "--static", "v1").returncode == 64


# Against an earlier commit


@pytest.fixture
def switched(folder: Server) -> Server:
    """A commit that is at `before`, and another one on top that makes v2 active."""
    folder.git("branch", "before")
    folder.write_state("active: v2\n")
    folder.git("commit", "-q", "-am", "Serve v2")
    return folder


def test_what_goes_live_since_a_commit_is_said(switched: Server) -> None:
    done = switched.command("verify", "--static", "--against", "before")

    assert done.stdout.splitlines()[-1] == "default: v1 -> v2"
    assert switched.command("verify", "--static", "--against", "HEAD").stdout.count("\n") == 1


def test_a_version_whose_files_changed_since_a_commit_is_refused(switched: Server) -> None:
    model = switched.models / "v1" / "model.pkl"
    model.write_bytes((switched.models / "v2" / "model.pkl").read_bytes())

    assert "v1: its files are not those of commit" in problems(
        switched, "--static", "--against", "before"
    )


def test_a_version_given_as_a_pointer_is_the_file_that_it_stands_for(switched: Server) -> None:
    model = switched.models / "v1" / "model.pkl"
    (switched.models / "v1" / "model.yaml").write_text(manifest_of(model.read_bytes()))
    model.write_text(point_to(model.read_bytes()))

    done = switched.command("verify", "--static", "--against", "before")

    assert done.returncode == 0, done.stdout


def test_a_manifest_may_be_added_to_a_version(switched: Server) -> None:
    model = (switched.models / "v1" / "model.pkl").read_bytes()
    (switched.models / "v1" / "model.yaml").write_text(manifest_of(model))

    assert switched.command("verify", "--static", "--against", "before").returncode == 0


def test_the_review_sets_both_manifests_side_by_side(switched: Server) -> None:
    write_manifests(
        switched,
        v1="inputs: [{name: x}]\ntrained: {metrics: {accuracy: 0.9}}\n",
        v2="inputs: [{name: y}]\ntrained: {metrics: {accuracy: 0.95}}\n",
    )

    text = switched.command("verify", "--static", "--against", "before", "--markdown").stdout

    assert text.startswith("## default: v1 → v2\n")
    assert "| metrics | accuracy | 0.9 | 0.95 | +0.05 |\n" in text
    assert "clients have to change" in text
    assert text.endswith("verified&#58; 2 versions&#59; v2 asked for\n")


def test_nothing_in_a_manifest_is_markdown(switched: Server) -> None:
    write_manifests(
        switched,
        v1="",
        v2='trained: {at: "](http://example.org)<img src=x>|`@all`", commit: "www.example.org"}\n',
    )

    text = switched.command("verify", "--static", "--against", "before", "--markdown").stdout

    row = next(line for line in text.splitlines() if line.startswith("| trained | at"))
    assert not set("<>`@[]()*_") & set(row)
    assert row.count("|") == 6
    assert "www.example" not in text


def test_the_review_says_what_was_added_taken_away_and_refused(switched: Server) -> None:
    write_code(switched.add_version("v3"), "1")
    shutil.rmtree(switched.models / "v1")
    (switched.models / "v2" / "model.yaml").write_text("formatt: pickle\n")

    text = problems(switched, "--static", "--against", "before", "--markdown")

    assert "Versions added: v3\n" in text
    assert "Versions removed: v1\n" in text
    assert "### Refused\n" in text
    assert "There is nothing to compare." in text


def test_a_commit_that_is_not_there_is_named(switched: Server) -> None:
    done = switched.command("verify", "--static", "--against", "--help;x")

    assert done.returncode == 1
    assert "there is no commit --help;x here" in done.stderr


def test_the_document_has_the_comparison(switched: Server) -> None:
    done = switched.command("verify", "--static", "--against", "before", "--json")

    (change,) = json.loads(done.stdout)["against"]["live"]
    assert (change["before"], change["after"]) == ("v1", "v2")
    assert change["comparison"]["format"]["change"] == "same"


def write_manifests(server: Server, **texts: str) -> None:
    for version, text in texts.items():
        (server.models / version / "model.yaml").write_text(text)
