"""The Dockerfile and the compose file, as far as they can be tested without a container engine."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

import modeld
from modeld.config import Settings
from tests.support.server import ROOT
from tests.support.wheels import make_environment

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
HERE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.override.yml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(-[\w.-]+)?")


def tool(name: str, *arguments: str) -> None:
    program = Path(sys.executable).with_name(name)
    done = subprocess.run(
        [program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def instructions(stage: str, name: str) -> list[str]:
    """Give the instructions of a kind, their lines joined."""
    joined = stage.replace("\\\n", " ")
    return [line.split(" ", 1)[1] for line in joined.splitlines() if line.startswith(f"{name} ")]


def pins(path: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / path).read_text(), re.MULTILINE)
    return {name.lower(): number for name, number in found}


# The image


def test_the_dockerfile_has_no_known_weakness() -> None:
    tool("hadolint", "Dockerfile")


def test_every_image_is_pinned() -> None:
    bases = [stage.split()[0] for stage in STAGES]
    images = [service["image"] for service in SERVICES.values()]

    for image in (*bases, *images):
        assert PINNED.fullmatch(image), image


def test_what_is_installed_is_what_is_tested() -> None:
    server, everything = pins("deploy/server.lock"), pins("requirements.lock")

    assert server.items() <= everything.items()
    assert pins("deploy/build.lock").items() <= everything.items()
    assert version("aiohttp") == server["aiohttp"]


def test_every_dependency_is_in_the_lock_of_the_image() -> None:
    text = (ROOT / "pyproject.toml").read_text().split("dependencies = [")[1].split("\n]")[0]
    wanted = {name.lower() for name in re.findall(r'"([A-Za-z0-9_-]+)>=', text)}

    assert len(wanted) > 15
    assert wanted <= pins("deploy/server.lock").keys()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's environment, made by the step of the Dockerfile that needs no network."""
    folder = tmp_path_factory.mktemp("image")
    environment = make_environment(folder / "modeld", folder / "wheel" / "none.whl")
    copied = folder / "src"
    copied.mkdir()
    for name in (*instructions(STAGES[0], "COPY")[1].split()[:-1], "grafana", "daemon"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, copied / name)
    (step,) = instructions(STAGES[0], "RUN")[1:]
    for old, new in (
        ("/opt/modeld", f"{folder}/modeld"),
        ("/wheel", f"{folder}/wheel"),
        ("python -m", f"{sys.executable} -m"),
    ):
        step = step.replace(old, new)
    variables = {"PATH": "/usr/bin:/bin", **environment}
    subprocess.run(["sh", "-ec", step], cwd=copied, env=variables, check=True, capture_output=True)
    return folder / "modeld" / "bin"


def test_the_steps_make_an_environment_whose_command_runs(built: Path) -> None:
    done = subprocess.run([built / "modeld", "--version"], capture_output=True, check=True)

    assert done.stdout.startswith(b"modeld, version ")


def test_the_image_runs_as_nobody_special_and_ends_by_sigterm() -> None:
    final = STAGES[-1]

    assert instructions(final, "USER") == ["1000:1000"]
    assert json.loads(instructions(final, "ENTRYPOINT")[0]) == ["modeld"]
    assert json.loads(instructions(final, "CMD")[-1]) == ["serve"]


def test_nothing_that_builds_is_in_the_final_stage() -> None:
    final = STAGES[-1]

    assert "pip" not in final
    assert "COPY --from=build /opt/modeld /opt/modeld" in final
    assert not {"gcc", "make", "build-essential"} & set(final.split())


def test_no_more_is_sent_to_the_builder_than_is_copied() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()

    assert "*" in lines
    copied = {word for copy in instructions(STAGES[0], "COPY") for word in copy.split()[:-1]}
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert {word.split("/")[0] for word in copied} == {word.split("/")[0] for word in allowed}


# Compose


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.override.yml"])
def test_the_compose_file_is_valid(name: str) -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", name)


def test_the_image_is_built_here_and_named_by_its_version_everywhere() -> None:
    assert SERVICES["modeld"]["image"] == f"modeld:{modeld.__version__}"
    assert (
        f"docker build -t modeld:{modeld.__version__} ."
        in (ROOT / "docker-compose.yml").read_text()
    )
    assert HERE == {"services": {"modeld": {"build": "."}}}


def test_no_variable_of_compose_is_a_setting_that_the_server_does_not_know() -> None:
    """Both read `.env`."""
    names = re.findall(r"\$\{MODELD_(\w+)", (ROOT / "docker-compose.yml").read_text())

    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_no_right_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_each_service_waits_for_the_one_that_it_reads() -> None:
    healthy = {"condition": "service_healthy"}

    assert SERVICES["prometheus"]["depends_on"] == {"modeld": healthy}
    assert SERVICES["grafana"]["depends_on"] == {"prometheus": healthy}
    assert "HEALTHCHECK" in STAGES[-1]
    assert all("healthcheck" in SERVICES[name] for name in ("prometheus", "grafana"))


def test_a_stop_leaves_time_to_drain() -> None:
    """Draining takes 20 s, and what follows some more."""
    assert SERVICES["modeld"]["stop_grace_period"] == "60s"


def test_every_file_that_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]


def test_prometheus_is_told_where_the_server_is() -> None:
    targets = yaml.safe_load(COMPOSE["configs"]["targets"]["content"])
    (scrape,) = yaml.safe_load((ROOT / "prometheus.yml").read_text())["scrape_configs"]

    assert targets == [{"targets": ["modeld:8000"]}]
    assert SERVICES["prometheus"]["configs"][0]["target"] == (
        f"/etc/prometheus/{scrape['file_sd_configs'][0]['files'][0]}"
    )


def test_changes_become_commits_that_are_pushed() -> None:
    assert SERVICES["modeld"]["environment"]["MODELD_GIT_COMMIT"].endswith(":-push}")
