"""`modeld init` makes a repository that works as it prints."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.server import GIT, ROOT, Server, cared_for, eventually

STARTER = ROOT / "daemon" / "modeld" / "starter"


def init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modeld", "init", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that was made of nothing, and what was printed."""
    folder = tmp_path_factory.mktemp("empty")
    done = init(folder, "shop")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def typed(made: tuple[Path, str], tmp_path: Path) -> Iterator[Server]:
    """What the folder becomes when somebody types what was printed, up to the server."""
    folder, printed = made
    place = tmp_path / "place"
    shutil.copytree(folder, place)
    *lines, last = [line.strip() for line in printed.split("Next:")[1].splitlines() if line]
    assert last == "modeld serve"
    git = f'git() {{ command {" ".join(GIT)} "$@"; }}'
    subprocess.run(["bash", "-ec", "\n".join((git, *lines))], cwd=place, check=True)
    with cared_for(Server(place / "shop")) as server:
        yield server


def test_what_it_prints_leads_to_a_server_that_answers(typed: Server) -> None:
    typed.start().wait_until_live("v1")

    answer = typed.predict({"features": [5.1, 3.5, 1.4, 0.2]})

    assert answer.json == {"prediction": 0, "model_version": "v1"}
    eventually(lambda: typed.status()["sync"]["status"] == "Synced", "rest")
    assert typed.git("status", "--porcelain") == ""


def test_what_it_makes_is_verified(typed: Server) -> None:
    done = typed.command("verify", "--against", "HEAD")

    assert done.returncode == 0, done.stdout + done.stderr


def test_its_workflows_are_those_that_are_tested(made: tuple[Path, str]) -> None:
    folder = made[0] / "shop" / ".github" / "workflows"

    assert sorted(path.name for path in folder.iterdir()) == [
        *("deploy.yml", "rollback.yml", "verify.yml")
    ]
    for path in folder.iterdir():
        assert path.read_text() == (STARTER / "workflows" / path.name).read_text()


# What `docker compose up` reads there


def test_its_compose_file_is_valid(made: tuple[Path, str]) -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [str(program), "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]

    done = subprocess.run(
        command, cwd=made[0] / "shop", capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_its_compose_file_has_the_version_that_is_required(made: tuple[Path, str]) -> None:
    folder = made[0] / "shop"
    (image,) = re.findall(r"image: modeld:(\S+)", (folder / "docker-compose.yml").read_text())

    assert (folder / "requirements.txt").read_text() == f"modeld=={image}\n"


def test_its_compose_file_builds_nothing_and_mounts_what_is_there(
    made: tuple[Path, str],
) -> None:
    folder = made[0] / "shop"
    services = yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]
    mounts = [volume.split(":")[0] for each in services.values() for volume in each["volumes"]]

    assert set(services) == {"modeld", "prometheus", "grafana"}
    assert not [name for name, service in services.items() if "build" in service]
    for mount in mounts:
        assert not mount.startswith(".") or (folder / mount).exists(), mount
        assert not (folder / mount).is_symlink()


@pytest.mark.skipif(not shutil.which("promtool"), reason="prometheus is not installed")
def test_its_prometheus_takes_the_configuration_and_the_rules(made: tuple[Path, str]) -> None:
    done = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"],
        cwd=made[0] / "shop", capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def test_its_dashboard_and_alerts_are_ours(made: tuple[Path, str]) -> None:
    for path in (ROOT / "grafana").rglob("*"):
        if path.is_file():
            copied = made[0] / "shop" / "grafana" / path.relative_to(ROOT / "grafana")
            assert copied.read_bytes() == path.read_bytes()


def test_what_is_there_is_kept(made: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(made[0] / "shop", folder)
    (folder / "state" / "active.yaml").write_text("active: v7\n")
    (folder / "README.md").write_text("mine\n")
    (folder / ".gitignore").unlink()
    (folder / "grafana" / "alerts.yml").write_text("groups: []\n")

    done = init(folder)

    assert "kept    grafana/alerts.yml" in done.stdout
    assert (folder / "grafana" / "alerts.yml").read_text() == "groups: []\n"

    assert "wrote   .gitignore" in done.stdout
    assert "kept    README.md" in done.stdout
    assert (folder / "README.md").read_text() == "mine\n"
    assert (folder / "state" / "active.yaml").read_text() == "active: v7\n"


def test_the_only_version_becomes_the_live_one(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models" / "v2", tmp_path / "models" / "spring")

    assert init(tmp_path).returncode == 0

    assert (tmp_path / "state" / "active.yaml").read_text() == "active: spring\n"
    assert not (tmp_path / "train.py").exists()


def test_of_several_versions_a_person_names_one(tmp_path: Path) -> None:
    for name in ("v1", "v2"):
        shutil.copytree(ROOT / "models" / name, tmp_path / "models" / name)

    done = init(tmp_path)

    assert "echo 'active: …' > state/active.yaml" in done.stdout
    assert not (tmp_path / "state").exists()


def test_below_another_repository_it_says_where_workflows_are_found(tmp_path: Path) -> None:
    subprocess.run([*GIT, "init", "-q", str(tmp_path)], check=True)

    done = init(tmp_path, "models-of-ours")

    assert f"GitHub finds workflows in {tmp_path / '.github'} alone" in done.stdout
    assert "git init" not in done.stdout


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".github").write_text("a file")

    done = init(tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("modeld: .github")
