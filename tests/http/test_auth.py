import os
from dataclasses import replace

import pytest

from modeld.errors import AccessError, CrossSite, Forbidden, HostNotAllowed, Unauthorized
from modeld.http.auth import AdminAccess, Caller, is_forwarding, joined
from modeld.http.peer import UNKNOWN
from tests.support.owners import unknown_owner

PORT = 8000
TOKEN = "correct horse battery"
LOCAL = Caller({"host": f"localhost:{PORT}"}, "127.0.0.1", "127.0.0.1", "1.1")


def local_only() -> AdminAccess:
    return AdminAccess(
        token=None, port=PORT, is_loopback=True, public_url="", owner_of=unknown_owner
    )


def with_token(public_url: str = "") -> AdminAccess:
    return AdminAccess(
        token=TOKEN, port=PORT, is_loopback=False, public_url=public_url, owner_of=unknown_owner
    )


def having(**headers: str) -> Caller:
    """A local caller with more headers; `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(LOCAL, headers={**LOCAL.headers, **named})


def judge(access: AdminAccess, caller: Caller) -> type[AccessError] | None:
    try:
        access.check(caller)
    except AccessError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("caller", "verdict"),
    [
        pytest.param(LOCAL, None, id="localhost"),
        pytest.param(having(host=f"127.0.0.1:{PORT}"), None, id="127.0.0.1"),
        pytest.param(having(host=f"LOCALHOST:{PORT}"), None, id="upper case"),
        pytest.param(
            replace(having(host=f"[::1]:{PORT}"), peer="::1", local="::1"), None, id="IPv6"
        ),
        pytest.param(replace(LOCAL, peer="127.8.9.1"), None, id="another loopback address"),
        pytest.param(having(origin=f"http://localhost:{PORT}"), None, id="our own page"),
        pytest.param(having(origin=f"HTTP://LOCALHOST:{PORT}"), None, id="our own page, loud"),
        pytest.param(having(sec_fetch_site="same-origin"), None, id="our own page, newer"),
        pytest.param(having(sec_fetch_site="none"), None, id="typed into the address bar"),
        pytest.param(replace(LOCAL, http_version="1.0"), Forbidden, id="HTTP/1.0"),
        pytest.param(replace(LOCAL, peer="192.0.2.7"), Forbidden, id="a peer elsewhere"),
        pytest.param(replace(LOCAL, local="192.0.2.1"), Forbidden, id="by an outer address"),
        pytest.param(replace(LOCAL, peer=""), Forbidden, id="a peer without address"),
        pytest.param(replace(LOCAL, peer="localhost"), Forbidden, id="a peer that is no address"),
        pytest.param(having(host="attacker.example"), HostNotAllowed, id="another Host"),
        pytest.param(having(host="localhost"), HostNotAllowed, id="a Host without port"),
        pytest.param(having(host="localhost:80"), HostNotAllowed, id="another port"),
        pytest.param(having(host=f"localhost:{PORT}.evil"), HostNotAllowed, id="a longer Host"),
        pytest.param(having(host=f"localhost.evil:{PORT}"), HostNotAllowed, id="a Host around it"),
        pytest.param(having(host=""), HostNotAllowed, id="an empty Host"),
        pytest.param(replace(LOCAL, headers={}), HostNotAllowed, id="no Host"),
        pytest.param(having(host="\udcff"), HostNotAllowed, id="a Host that is no text"),
        pytest.param(having(origin="http://attacker.example"), CrossSite, id="another site"),
        pytest.param(having(origin="null"), CrossSite, id="a sandboxed page"),
        pytest.param(having(origin=""), CrossSite, id="an empty Origin"),
        pytest.param(having(origin=f"https://localhost:{PORT}"), CrossSite, id="another scheme"),
        pytest.param(having(origin="http://localhost:3000"), CrossSite, id="another local server"),
        pytest.param(having(sec_fetch_site="cross-site"), CrossSite, id="another site, newer"),
        pytest.param(having(sec_fetch_site="same-site"), CrossSite, id="a neighbour site"),
        pytest.param(having(authorization=f"Bearer {TOKEN}"), None, id="a token nobody asked for"),
    ],
)
def test_without_a_token_only_this_machine_may(
    caller: Caller, verdict: type[AccessError] | None
) -> None:
    assert judge(local_only(), caller) is verdict


FORWARDING = [
    *("forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host"),
    *("x-forwarded-proto", "x-forwarded-port", "x-forwarded-server", "x-forwarded-ssl"),
]


@pytest.mark.parametrize("name", FORWARDING)
def test_a_proxy_s_header_closes_that_way_for_life(name: str) -> None:
    access = local_only()
    assert judge(access, LOCAL) is None

    assert judge(access, having(**{name: "203.0.113.9"})) is Forbidden

    assert judge(access, LOCAL) is Forbidden
    assert not access.is_open
    with pytest.raises(Forbidden, match="MODELD_ADMIN_TOKEN"):
        access.check(LOCAL)


def test_an_empty_header_of_a_proxy_closes_it_too() -> None:
    assert judge(local_only(), having(via="")) is Forbidden


def test_a_foreign_page_with_such_a_header_closes_it_too() -> None:
    """Whatever else is wrong with the request, a proxy has shown itself."""
    access = local_only()

    assert judge(access, having(via="1.1 p", origin="http://attacker.example")) is CrossSite

    assert judge(access, LOCAL) is Forbidden


@pytest.mark.parametrize(
    ("is_loopback", "public_url", "is_open"),
    [
        (True, "", True),
        (False, "", False),
        (True, "https://models.example.org", False),
        (False, "https://models.example.org", False),
    ],
)
def test_it_is_open_only_where_nobody_else_can_come(
    is_loopback: bool, public_url: str, is_open: bool
) -> None:
    access = AdminAccess(
        token=None,
        port=PORT,
        is_loopback=is_loopback,
        public_url=public_url,
        owner_of=unknown_owner,
    )

    assert access.is_open is is_open
    assert judge(access, LOCAL) is (None if is_open else Forbidden)


def test_with_a_token_it_is_never_open() -> None:
    access = AdminAccess(
        token=TOKEN, port=PORT, is_loopback=True, public_url="", owner_of=unknown_owner
    )

    assert not access.is_open
    assert judge(access, LOCAL) is Unauthorized


@pytest.mark.parametrize(
    ("authorization", "is_right"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer {TOKEN}", True),
        (f"BEARER {TOKEN}", True),
        ("", False),
        ("Bearer", False),
        ("Bearer ", False),
        (f"Bearer  {TOKEN}", False),
        (f"Bearer {TOKEN} ", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN.upper()}", False),
        (f"Basic {TOKEN}", False),
        (TOKEN, False),
        ("Bearer ü", False),
        ("Bearer \udcff\udc80", False),
        ("Bearer " + "x" * 100_000, False),
    ],
)
def test_the_token_decides_who_may(authorization: str, is_right: bool) -> None:
    caller = replace(having(authorization=authorization), peer="203.0.113.9", local="192.0.2.1")

    assert judge(with_token(), caller) is (None if is_right else Unauthorized)


def test_no_token_is_not_an_empty_one() -> None:
    assert judge(with_token(), replace(LOCAL, headers={})) is Unauthorized


@pytest.mark.parametrize("token", ["tökén", "пароль", "密碼"])
def test_a_token_may_be_of_any_letters(token: str) -> None:
    access = AdminAccess(
        token=token, port=PORT, is_loopback=False, public_url="", owner_of=unknown_owner
    )

    assert judge(access, having(authorization=f"Bearer {token}")) is None
    assert judge(access, having(authorization="Bearer token")) is Unauthorized


def test_a_refusal_does_not_show_the_token() -> None:
    with pytest.raises(Unauthorized) as caught:
        with_token().check(having(authorization="Bearer wrong"))

    assert TOKEN not in str(caught.value)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("name", FORWARDING)
def test_with_a_token_a_proxy_may_stand_in_front(name: str) -> None:
    caller = having(authorization=f"Bearer {TOKEN}", **{name: "203.0.113.9"})

    assert judge(with_token("https://models.example.org"), caller) is None


@pytest.mark.parametrize(
    ("origin", "verdict"),
    [
        ("https://models.example.org", None),
        ("https://MODELS.example.org", None),
        ("http://models.example.org", CrossSite),
        ("https://models.example.org.evil", CrossSite),
        ("https://evil.example.org", CrossSite),
    ],
)
def test_a_page_of_another_site_may_not_even_with_a_token(
    origin: str, verdict: type[AccessError] | None
) -> None:
    """A token that a browser keeps must be of no use to other sites."""
    caller = having(authorization=f"Bearer {TOKEN}", origin=origin)

    assert judge(with_token("https://models.example.org"), caller) is verdict


@pytest.mark.parametrize("access", [local_only(), with_token()])
def test_the_control_socket_needs_nothing(access: AdminAccess) -> None:
    """The file system has checked who it is."""
    caller = Caller({}, "", "", "1.0", is_control_socket=True)

    assert judge(access, caller) is None


def test_the_control_socket_closes_nothing() -> None:
    access = local_only()

    access.check(replace(having(via="1.1 p"), is_control_socket=True))

    assert judge(access, LOCAL) is None


@pytest.mark.parametrize(("port", "host", "is_right"), [
    (80, "localhost", True), (80, "127.0.0.1", True), (80, "[::1]", True),
    (80, "localhost:80", True),
    (8080, "localhost", False), (80, "example.org", False),
])  # fmt: skip
def test_the_usual_port_need_not_be_said(port: int, host: str, is_right: bool) -> None:
    access = AdminAccess(
        token=None, port=port, is_loopback=True, public_url="", owner_of=unknown_owner
    )

    assert judge(access, having(host=host)) is (None if is_right else HostNotAllowed)


def test_a_header_that_comes_twice_does_not_hide_the_first() -> None:
    """Whoever reads the last one alone would let the other pass."""
    headers = joined([("Origin", "http://attacker.example"), ("ORIGIN", "http://localhost:8000")])

    assert headers == {"origin": "http://attacker.example, http://localhost:8000"}
    assert judge(local_only(), having(**headers)) is CrossSite


@pytest.mark.parametrize("name", ["host", "x-forward", "forwarded-for", "x-request-id"])
def test_other_headers_are_not_a_proxy_s(name: str) -> None:
    assert not is_forwarding(name)


@pytest.mark.parametrize(
    ("owner", "verdict"),
    [
        pytest.param(os.getuid(), None, id="the same user"),
        pytest.param(0, None, id="root"),
        pytest.param(os.getuid() + 1, Forbidden, id="another user, a proxy perhaps"),
        pytest.param(UNKNOWN, Forbidden, id="a connection that is gone"),
        pytest.param(None, None, id="a system that does not tell"),
    ],
)
def test_a_local_caller_must_be_the_user_of_the_server(
    owner: int | None, verdict: type[AccessError] | None
) -> None:
    access = AdminAccess(
        token=None, port=PORT, is_loopback=True, public_url="", owner_of=lambda *_: owner
    )

    assert judge(access, LOCAL) is verdict


@pytest.mark.parametrize(
    ("origin", "verdict"),
    [
        ("http://models.lan:8000", None),
        ("https://MODELS.lan:8000", None),
        ("http://models.lan", CrossSite),
        ("http://evil.example:8000", CrossSite),
        ("null", CrossSite),
    ],
)
def test_with_a_token_our_page_may_have_any_name(
    origin: str, verdict: type[AccessError] | None
) -> None:
    """Who made the name lead here by a trick has no token."""
    caller = having(authorization=f"Bearer {TOKEN}", origin=origin, host="models.lan:8000")

    assert judge(with_token(), caller) is verdict


def test_a_public_url_is_the_only_other_name() -> None:
    caller = having(authorization=f"Bearer {TOKEN}", origin="http://models.lan", host="models.lan")

    assert judge(with_token("https://models.example.org"), caller) is CrossSite


def test_without_a_token_a_name_that_was_asked_for_is_not_enough() -> None:
    caller = having(origin="http://attacker.example", host="attacker.example")

    assert judge(local_only(), caller) is CrossSite
