"""A real nursery: what it forks, what it tells, and when it ends."""

import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modeld import launch
from modeld.messages import Fork, Loaded
from tests.host.conftest import HostProcess, NurseryProcess, ask
from tests.host.pickles import write_model


def has_ended(pidfd: int, seconds: float = 10.0) -> bool:
    """Wait for the end of a process that is not a child of this one."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


@pytest.fixture
def short_lived(tmp_path: Path) -> Iterator[NurseryProcess]:
    """A nursery for the tests that end it."""
    nursery = NurseryProcess(tmp_path / "log")
    yield nursery
    nursery.close()


def test_hosts_are_children_of_the_nursery_without_privileges(
    nursery: NurseryProcess, host: HostProcess, tmp_path: Path
) -> None:
    host.load(write_model(tmp_path))

    status = Path(f"/proc/{host.pid}/status").read_text()

    assert f"PPid:\t{nursery.process.pid}\n" in status
    assert "NoNewPrivs:\t1\n" in status


def test_the_descriptor_that_comes_with_a_host_names_it(host: HostProcess) -> None:
    signal.pidfd_send_signal(host.pidfd, 0)

    assert f"Pid:\t{host.pid}\n" in Path(f"/proc/self/fdinfo/{host.pidfd}").read_text()


def test_what_no_host_asked_for_is_not_imported(short_lived: NurseryProcess) -> None:
    hosts = [short_lived.fork(needs_tables=needs_tables) for needs_tables in (False, True)]

    plain, tables = (Path(f"/proc/{host.pid}/maps").read_text() for host in hosts)
    for host in hosts:
        host.control.close()

    assert "/sklearn/" in plain
    assert "/pandas/" not in plain
    assert "/pandas/" in tables


def test_every_end_is_told_with_its_status(nursery: NurseryProcess) -> None:
    hosts = [nursery.fork() for _ in range(4)]

    for host, number in zip(
        hosts[:3], (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV), strict=True
    ):
        signal.pidfd_send_signal(host.pidfd, number)
    hosts[3].control.close()
    statuses = [nursery.exit_of(host) for host in hosts]

    assert [os.WTERMSIG(s) for s in statuses[:3]] == [
        signal.SIGKILL,
        signal.SIGABRT,
        signal.SIGSEGV,
    ]
    assert statuses[3] == 0
    for host in hosts:
        host.close()


def test_a_death_does_not_disturb_the_others(
    nursery: NurseryProcess, host: HostProcess, tmp_path: Path
) -> None:
    assert isinstance(host.load(write_model(tmp_path)), Loaded)
    peer, other = host.introduce(), nursery.fork()

    signal.pidfd_send_signal(other.pidfd, signal.SIGKILL)
    nursery.exit_of(other)
    other.close()

    assert ask(peer, [[1.0, 0.0]]) == [[1.0]]


def test_a_host_holds_no_other_host_s_connection(
    nursery: NurseryProcess, host: HostProcess
) -> None:
    """Otherwise an end would not be seen before all hosts have ended."""
    other = nursery.fork()

    signal.pidfd_send_signal(host.pidfd, signal.SIGKILL)

    assert host.control.receive() is None
    other.close()


def test_hosts_do_not_draw_the_same_random_numbers(nursery: NurseryProcess, tmp_path: Path) -> None:
    """A fork copies the generator's state as well."""
    artifact = write_model(tmp_path, "__import__('numpy').random.rand(len(rows))")
    hosts = [nursery.fork() for _ in range(3)]

    drawn = []
    for host in hosts:
        assert isinstance(host.load(artifact), Loaded)
        drawn.append(str(ask(host.introduce(), [[1.0, 2.0]])))
        host.close()

    assert len(set(drawn)) == 3


def test_many_orders_at_once_are_all_carried_out(nursery: NurseryProcess) -> None:
    hosts = [nursery.fork() for _ in range(8)]

    assert len({host.pid for host in hosts}) == 8
    for host in hosts:
        host.close()
    assert {nursery.exit_of(host) for host in hosts} == {0}


def test_the_nursery_ends_with_its_parent_and_its_hosts_live_on(
    short_lived: NurseryProcess, tmp_path: Path
) -> None:
    """A worker may still be answering from a host; the host leaves when all have left it."""
    host = short_lived.fork()
    assert isinstance(host.load(write_model(tmp_path)), Loaded)
    peer = host.introduce()

    short_lived.control.close()
    assert short_lived.process.wait(10) == 0
    host.control.close()

    assert ask(peer, [[1.0, 0.0]]) == [[1.0]]
    peer.close()
    assert has_ended(host.pidfd)
    os.close(host.pidfd)
    assert short_lived.log.read_text() == ""


def test_a_nursery_whose_parent_is_another_process_ends_at_once() -> None:
    """Its parent died before it could ask to be told."""
    ours, theirs = socket.socketpair()

    with ours, theirs:
        done = subprocess.run(
            launch.command("modeld.host.nursery", theirs.fileno(), os.getpid() + 1),
            pass_fds=[theirs.fileno()],
            timeout=30,
            check=False,
        )

    assert done.returncode == 0


def test_a_death_that_nobody_listens_to_is_no_failure(short_lived: NurseryProcess) -> None:
    """The control process and a host may end in the same moment."""
    host = short_lived.fork()
    os.kill(short_lived.process.pid, signal.SIGSTOP)

    signal.pidfd_send_signal(host.pidfd, signal.SIGKILL)
    has_ended(host.pidfd)
    short_lived.control.close()
    os.kill(short_lived.process.pid, signal.SIGCONT)

    assert short_lived.process.wait(10) == 0
    assert short_lived.log.read_text() == ""
    host.close()


def test_an_order_that_nobody_waits_for_is_no_failure(short_lived: NurseryProcess) -> None:
    short_lived.fork().close()
    os.kill(short_lived.process.pid, signal.SIGSTOP)
    ours, theirs = socket.socketpair()

    short_lived.control.send(
        Fork(9, 0, needs_libraries=False, needs_tables=False), take=theirs.detach()
    )
    short_lived.control.close()
    ours.close()
    os.kill(short_lived.process.pid, signal.SIGCONT)

    assert short_lived.process.wait(10) == 0
    assert short_lived.log.read_text() == ""
