"""Every shell step of the workflows does what it says, on real repositories and servers."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.followed import Followed
from tests.support.remotes import Remote, run
from tests.support.server import ROOT, Server, cared_for, make_server
from tests.support.sshd import ssh_server
from tests.support.versions import write_code
from tests.support.wheels import build_wheel, make_environment
from tests.support.workflows import Runner, read

WORKFLOWS = ROOT / "daemon" / "modeld" / "starter" / "workflows"
VERIFY, DEPLOY, ROLLBACK = (WORKFLOWS / f"{name}.yml" for name in ("verify", "deploy", "rollback"))
NOTHING_SET = dict.fromkeys(
    (
        *("inputs.commit", "vars.DEPLOY_SSH", "vars.DEPLOY_KNOWN_HOSTS", "vars.DEPLOY_COMMAND"),
        *("vars.MODELD_URL", "secrets.DEPLOY_SSH_KEY", "secrets.MODELD_READ_TOKEN"),
    ),
    "",
)
TOKEN = "t" * 40

MakeRunner = Callable[..., Runner]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Let the workflows' own step install modeld, from the wheel of this tree."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    return make_environment(tmp_path_factory.mktemp("environment") / "venv", wheel)


@pytest.fixture
def upstream(tmp_path: Path) -> Remote:
    """A repository as `modeld init` makes it, pushed; v1 and v2 are the example versions."""
    remote = Remote(tmp_path / "upstream")
    for version in ("v1", "v2"):
        remote.add_example(version)
    subprocess.run([sys.executable, "-m", "modeld", "init", str(remote.work)], check=True)
    remote.publish("state/active.yaml", "active: v1\n", "Serve v1")
    return remote


@pytest.fixture
def make_runner(upstream: Remote, installed: dict[str, str], tmp_path: Path) -> MakeRunner:
    """Check a commit out as the action does, and say what the expressions mean."""

    def make(context: Mapping[str, str], commit: str = "") -> Runner:
        folder = tmp_path / "checkout"
        shutil.rmtree(folder, ignore_errors=True)
        run(tmp_path, "clone", "-q", str(upstream.bare), str(folder))
        if commit:
            run(folder, "checkout", "-q", "--detach", commit)
        return Runner(folder, tmp_path / "runner", context, installed)

    return make


# Verify


def verify(upstream: Remote, make_runner: MakeRunner) -> tuple[bool, Runner]:
    base = upstream.git("rev-parse", "HEAD~1")
    runner = make_runner({"github.event.pull_request.base.sha": base}, upstream.head())
    return runner.run(VERIFY, "verify"), runner


def test_a_pull_request_that_changes_what_is_live_is_reviewed(
    upstream: Remote, make_runner: MakeRunner
) -> None:
    upstream.publish("state/active.yaml", "active: v2\n")

    is_green, runner = verify(upstream, make_runner)

    assert is_green, runner.printed
    assert runner.summary.startswith("## default: v1 → v2\n")


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("state/active.yaml", "active: v9\n", "there is no version v9"),
        ("state/active.yaml", "activ: v1\n", "unknown key"),
        ("models/v1/model.pkl", "other bytes", "v1: its files are not those of commit"),
    ],
)
def test_a_pull_request_that_would_be_refused_is_red(
    upstream: Remote, make_runner: MakeRunner, path: str, text: str, message: str
) -> None:
    upstream.publish(path, text)

    is_green, runner = verify(upstream, make_runner)

    assert not is_green
    assert message in runner.printed.replace("&#58;", ":").replace("&#41;", ")")
    assert "### Refused" in runner.summary


# Deploy


def deploy(make_runner: MakeRunner, commit: str, **variables: str) -> tuple[bool, Runner]:
    named = {f"vars.{name}": value for name, value in variables.items() if "__" not in name}
    secrets = {
        f"secrets.{name.removeprefix('SECRET__')}": value
        for name, value in variables.items()
        if "__" in name
    }
    runner = make_runner(NOTHING_SET | {"github.sha": commit} | named | secrets, commit)
    return runner.run(DEPLOY, "deploy"), runner


def test_with_nothing_configured_the_deploy_is_green_and_says_so(
    upstream: Remote, make_runner: MakeRunner
) -> None:
    is_green, runner = deploy(make_runner, upstream.head())

    assert is_green, runner.printed
    assert "::notice::Nothing is deployed" in runner.printed


def test_what_is_not_valid_is_not_deployed(upstream: Remote, make_runner: MakeRunner) -> None:
    is_green, runner = deploy(make_runner, upstream.publish("state/active.yaml", "active: v9\n"))

    assert not is_green
    assert "there is no version v9" in runner.printed


@pytest.fixture
def host(upstream: Remote, tmp_path: Path) -> Iterator[Server]:
    """A server on a clone, which serves v1."""
    server = Server(tmp_path / "host")
    run(tmp_path, "clone", "-q", str(upstream.bare), str(server.folder))
    with cared_for(server):
        server.start().wait_until_live("v1")
        yield server


@pytest.fixture
def over_ssh(host: Server, tmp_path: Path) -> Iterator[dict[str, str]]:
    """An ssh server beside it, and the variables that lead there."""
    with ssh_server(tmp_path / "ssh") as ssh:
        yield {
            "DEPLOY_SSH": ssh.url,
            "DEPLOY_KNOWN_HOSTS": ssh.known_hosts,
            "DEPLOY_COMMAND": f"cd {host.folder} && {sys.executable} -m modeld sync",
            "SECRET__DEPLOY_SSH_KEY": ssh.key,
        }


def test_a_commit_is_deployed_over_ssh(
    upstream: Remote, make_runner: MakeRunner, host: Server, over_ssh: dict[str, str]
) -> None:
    commit = upstream.publish("state/active.yaml", "active: v2\n")

    is_green, runner = deploy(make_runner, commit, **over_ssh)

    assert is_green, runner.printed
    assert host.live() == "v2"
    assert host.git("rev-parse", "HEAD") == commit
    assert "PRIVATE KEY" not in runner.printed


def test_a_deploy_that_the_server_refuses_is_red_and_says_why(
    upstream: Remote, make_runner: MakeRunner, host: Server, over_ssh: dict[str, str]
) -> None:
    host.expects_tracebacks = True  # the model's own
    write_code(upstream.write("models/v3/note", "").parent, "1 / 0")
    commit = upstream.publish("state/active.yaml", "active: v3\n")

    is_green, runner = deploy(make_runner, commit, **over_ssh)

    assert not is_green
    assert "division by zero" in runner.printed
    assert host.live() == "v1"


def test_a_host_with_another_key_is_not_talked_to(
    upstream: Remote, make_runner: MakeRunner, host: Server, over_ssh: dict[str, str]
) -> None:
    commit = upstream.publish("state/active.yaml", "active: v2\n")

    is_green, _ = deploy(make_runner, commit, **over_ssh | {"DEPLOY_KNOWN_HOSTS": ""})

    assert not is_green
    assert host.live() == "v1"


def test_the_key_can_be_bound_to_the_one_command(
    upstream: Remote, make_runner: MakeRunner, host: Server, tmp_path: Path
) -> None:
    """As docs/deploying.md has it: what the workflow sends names the commit and nothing else."""
    last_word = "${SSH_ORIGINAL_COMMAND##* }"
    forced = f'cd {host.folder} && exec {sys.executable} -m modeld sync -- \\"{last_word}\\"'
    commit = upstream.publish("state/active.yaml", "active: v2\n")

    with ssh_server(tmp_path / "ssh", command=forced) as ssh:
        is_green, runner = deploy(
            make_runner,
            commit,
            DEPLOY_SSH=ssh.url,
            DEPLOY_KNOWN_HOSTS=ssh.known_hosts,
            SECRET__DEPLOY_SSH_KEY=ssh.key,
        )

    assert is_green, runner.printed
    assert host.live() == "v2"


@pytest.fixture
def following(upstream: Remote, tmp_path: Path) -> Iterator[Followed]:
    """A server that follows the branch by itself, with a token."""
    server = make_server(tmp_path / "empty", versions=())
    shutil.rmtree(server.state.parent)
    with cared_for(server):
        followed = Followed(server, upstream)
        followed.start(ADMIN_TOKEN=TOKEN)
        yield followed


def test_a_server_that_follows_is_waited_for(
    upstream: Remote, make_runner: MakeRunner, following: Followed
) -> None:
    commit = upstream.publish("state/active.yaml", "active: v2\n")
    url = f"http://127.0.0.1:{following.server.port}"

    is_green, runner = deploy(make_runner, commit, MODELD_URL=url, SECRET__MODELD_READ_TOKEN=TOKEN)

    assert is_green, runner.printed
    assert following.version() == "v2"
    assert TOKEN not in runner.printed


def test_what_the_server_that_follows_refuses_is_red(
    upstream: Remote, make_runner: MakeRunner, following: Followed
) -> None:
    following.server.expects_tracebacks = True  # the model's own
    write_code(upstream.write("models/v3/note", "").parent, "1 / 0")
    commit = upstream.publish("state/active.yaml", "active: v3\n")
    url = f"http://127.0.0.1:{following.server.port}"

    is_green, runner = deploy(make_runner, commit, MODELD_URL=url, SECRET__MODELD_READ_TOKEN=TOKEN)

    assert not is_green
    assert "division by zero" in runner.printed


def test_a_wrong_token_is_red(
    upstream: Remote, make_runner: MakeRunner, following: Followed
) -> None:
    url = f"http://127.0.0.1:{following.server.port}"

    is_green, runner = deploy(
        make_runner, upstream.head(), MODELD_URL=url, SECRET__MODELD_READ_TOKEN="wrong"
    )

    assert not is_green
    assert '"code": "unauthorized"' in runner.printed


# Roll back

ROLL_BACK = {
    "inputs.reason": 'p99 4x; $(touch /tmp/owned) "quoted"',
    "inputs.to": "",
    "inputs.model": "default",
    "github.actor": "on-call",
    "github.ref_name": "main",
    "github.token": "not-a-token",
}


def test_a_rollback_is_committed_pushed_and_deployed(
    upstream: Remote, make_runner: MakeRunner, host: Server, over_ssh: dict[str, str]
) -> None:
    first = upstream.publish("state/active.yaml", "active: v2\n")
    deploy(make_runner, first, **over_ssh)
    runner = make_runner(ROLL_BACK)

    assert runner.run(ROLLBACK, "commit"), runner.printed

    commit = runner.outputs["commit"]
    upstream.git("pull", "-q", "origin", "main")
    assert upstream.head() == commit
    message = upstream.git("log", "-n1", "--format=%an%n%B")
    assert message.startswith("on-call\nRoll back v2 to v1\n")
    assert 'Reason: p99 4x; $(touch /tmp/owned) "quoted"' in message
    assert read(ROLLBACK)["jobs"]["deploy"]["with"]["commit"] == (
        "${{ needs.commit.outputs.commit }}"
    )
    is_green, runner = deploy(make_runner, commit, **over_ssh)
    assert is_green, runner.printed
    assert host.live() == "v1"


def test_where_the_branch_takes_no_push_a_pull_request_asks_for_it(
    upstream: Remote, make_runner: MakeRunner, installed: dict[str, str], tmp_path: Path
) -> None:
    upstream.publish("state/active.yaml", "active: v2\n")
    protect(upstream, "main")
    runner = make_runner(ROLL_BACK)
    asked = github_command(tmp_path)
    runner.environment = installed | {"PATH": f"{tmp_path}/gh:{installed['PATH']}"}

    assert runner.run(ROLLBACK, "commit"), runner.printed

    commit = run(runner.folder, "rev-parse", "HEAD")
    assert runner.outputs == {}
    assert upstream.objects().text("rev-parse", f"rollback-{commit}") == commit
    assert asked.read_text().splitlines()[:8] == [
        *("pr", "create", "--base", "main", "--head", f"rollback-{commit}"),
        *("--title", "Roll back v2 to v1"),
    ]
    assert "merge the pull request" in runner.printed


def test_a_rollback_that_changes_nothing_is_red(upstream: Remote, make_runner: MakeRunner) -> None:
    runner = make_runner(ROLL_BACK | {"inputs.to": "v1"})

    assert not runner.run(ROLLBACK, "commit")
    assert "git asks for v1 already" in runner.printed
    assert runner.outputs == {}


def protect(remote: Remote, branch: str) -> None:
    hook = remote.bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\n[ "$1" != refs/heads/{branch} ] || exit 1\n')
    hook.chmod(0o755)


def github_command(folder: Path) -> Path:
    """Stand in for `gh`, which needs GitHub itself; gives where it writes what it was asked."""
    asked = folder / "asked"
    (folder / "gh").mkdir()
    program = folder / "gh" / "gh"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {asked}\n")
    program.chmod(0o755)
    return asked
