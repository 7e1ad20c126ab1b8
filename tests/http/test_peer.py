import os
import socket

import pytest

from modeld.http.peer import UNKNOWN, owner_of


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1"])
def test_the_user_of_a_connection_is_found(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind((address, 0))
        listener.listen()
        client.connect(listener.getsockname())

        assert owner_of(*client.getsockname()[:2]) == os.getuid()


def test_an_ipv4_client_of_a_socket_for_both_families_is_found() -> None:
    with socket.socket(socket.AF_INET6) as listener, socket.socket() as client:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", 0))
        listener.listen()
        client.connect(("127.0.0.1", listener.getsockname()[1]))

        assert owner_of(*client.getsockname()) == os.getuid()


@pytest.mark.parametrize(("address", "port"), [("127.0.0.1", 1), ("", 0), ("localhost", 80)])
def test_where_there_is_no_connection_nobody_is_found(address: str, port: int) -> None:
    assert owner_of(address, port) == UNKNOWN
