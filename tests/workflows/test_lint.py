"""The workflows that come with modeld are well-formed, pinned, and ask for little."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROOT
from tests.support.workflows import read, steps

OWN = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
STARTER = sorted((ROOT / "daemon" / "modeld" / "starter" / "workflows").glob("*.yml"))
EVERY = OWN + STARTER
FOR_THE_STARTER = "--requirement requirements.txt"


def name_of(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.name}"


every_workflow = pytest.mark.parametrize("workflow", EVERY, ids=name_of)


def tool(*arguments: str) -> str:
    program = Path(sys.executable).with_name(arguments[0])
    done = subprocess.run(
        [program, *arguments[1:], *map(str, EVERY)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_workflow_has_a_known_weakness() -> None:
    tool("zizmor", "--offline", "--no-config")


def test_every_workflow_is_one_that_github_understands() -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows")


def test_this_repository_has_the_workflows_that_init_writes() -> None:
    """They differ in what is installed: here it is this tree."""
    for ours in STARTER:
        text = ours.read_text()
        assert text.count(FOR_THE_STARTER) == 1
        own = ROOT / ".github" / "workflows" / ours.name
        assert own.read_text() == text.replace(FOR_THE_STARTER, ".")


@every_workflow
def test_actions_are_pinned_to_commits_and_named(workflow: Path) -> None:
    for line in workflow.read_text().splitlines():
        if "uses: " in line and "uses: ./" not in line:
            assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@every_workflow
def test_inputs_reach_the_shell_through_the_environment_alone(workflow: Path) -> None:
    for step in steps(workflow):
        assert "${{" not in step.get("run", "")


@every_workflow
def test_secrets_are_given_to_steps_that_need_them_alone(workflow: Path) -> None:
    document = read(workflow)
    for job in document["jobs"].values():
        assert "secrets." not in str(job.get("env", {})) + str(document.get("env", {}))
    for step in steps(workflow):
        holders = [name for name, value in step.get("env", {}).items() if "secrets." in value]
        for name in holders:
            assert f'echo "${name}"' not in step["run"]
            assert "set -x" not in step["run"]


@every_workflow
def test_nobody_may_write_unless_a_job_says_why(workflow: Path) -> None:
    document = read(workflow)
    assert document["permissions"] == {"contents": "read"}
    for job in document["jobs"].values():
        if "write" in job.get("permissions", {}).values():
            assert re.search(r"contents: write # \w+", workflow.read_text())


@every_workflow
def test_what_a_pull_request_starts_sees_no_secret(workflow: Path) -> None:
    if "pull_request" in read(workflow)["on"]:
        assert "secrets." not in workflow.read_text()
    assert "pull_request_target" not in workflow.read_text()


# Every road that changes the wish ends in the deploy job


def deploys(folder: list[Path]) -> Path:
    return next(path for path in folder if path.name == "deploy.yml")


@pytest.mark.parametrize("folder", [OWN, STARTER], ids=["own", "starter"])
def test_a_push_that_touches_the_wish_or_a_model_is_deployed(folder: list[Path]) -> None:
    trigger = read(deploys(folder))["on"]["push"]

    assert {"state/**", "models/**"} <= set(trigger["paths"])
    assert {"main", "master"} <= set(trigger["branches"])


@pytest.mark.parametrize("folder", [OWN, STARTER], ids=["own", "starter"])
def test_a_job_that_can_push_is_followed_by_the_deploy_job(folder: list[Path]) -> None:
    """A push with the token of a workflow starts no other workflow."""
    pushing = 0
    for path in folder:
        jobs = read(path)["jobs"]
        for name, job in jobs.items():
            if can_push(job):
                pushing += 1
                assert any(
                    follows.get("uses") == "./.github/workflows/deploy.yml"
                    and follows.get("needs") == name
                    and "commit" in follows["with"]
                    for follows in jobs.values()
                )
    assert pushing == 1


def can_push(job: dict[str, Any]) -> bool:
    return bool(job.get("permissions", {}).get("contents") == "write")


@pytest.mark.parametrize("folder", [OWN, STARTER], ids=["own", "starter"])
def test_deploys_have_one_group_and_the_newest_wins(folder: list[Path]) -> None:
    groups = read(deploys(folder))["jobs"]["deploy"]["concurrency"]

    assert groups == {"group": "deploy", "cancel-in-progress": "true"}
