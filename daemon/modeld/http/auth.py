"""Decide who may use the admin API.

Without a token only a caller that is provably on this machine may: over loopback, by a
local name, as the server's own user, with no page of another site and no proxy in
between. One admin request that carries a proxy's header closes that way for the life of
the process. With a token, and always when the server can be reached from elsewhere, the
token decides.
"""

import hashlib
import hmac
import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from modeld.errors import CrossSite, Forbidden, HostNotAllowed, Unauthorized
from modeld.http.peer import owner_of

_FORWARDING = ("forwarded", "via", "x-real-ip")
_SAME_SITE = ("same-origin", "none")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Header names in lower case; addresses as the worker saw them."""

    headers: Mapping[str, str]
    peer: str
    local: str
    http_version: str
    peer_port: int = 0
    is_control_socket: bool = False


class AdminAccess:
    """The rules for one server."""

    def __init__(
        self,
        *,
        token: str | None,
        port: int,
        is_loopback: bool,
        public_url: str,
        owner_of: Callable[[str, int], int | None] = owner_of,
    ) -> None:
        self._owner_of = owner_of
        self._token = hashlib.sha256(token.encode()).digest() if token else None
        names = ("localhost", "127.0.0.1", "[::1]")
        self._hosts = {f"{name}:{port}" for name in names}
        if port == 80:
            self._hosts |= set(names)
        self._origins = {f"http://{host}" for host in self._hosts}
        self._has_public_url = bool(public_url)
        if public_url:
            self._hosts.add(public_url.split("://", 1)[1].lower())
            self._origins.add(public_url.lower())
        self._is_open = token is None and is_loopback and not public_url
        self._needs_token = not self._is_open

    @property
    def is_open(self) -> bool:
        """Whether local callers need no token."""
        return self._is_open

    @property
    def state(self) -> str:
        """Say who may pass: local callers (`open`), those with the `token`, or `closed`."""
        if self._is_open:
            return "open"
        return "token" if self._needs_token else "closed"

    def check(self, caller: Caller) -> None:
        """Let the caller pass, or raise an `AccessError` that says what is missing."""
        if caller.is_control_socket:
            return
        if self._is_open and any(map(is_forwarding, caller.headers)):
            self._is_open = False
        self._check_site(caller)
        if self._token is not None:
            self._check_token(caller)
            return
        if not self._is_open:
            raise Forbidden(
                "a proxy stands in front of this server, so that local callers cannot be told "
                "from others: set MODELD_ADMIN_TOKEN and MODELD_PUBLIC_URL, or use the commands"
            )
        self._check_local(caller)

    def _check_site(self, caller: Caller) -> None:
        site = caller.headers.get("sec-fetch-site", "none")
        origin = caller.headers.get("origin")
        if site not in _SAME_SITE or not (origin is None or self._is_ours(origin.lower(), caller)):
            raise CrossSite("a page of another site may not use the admin API")

    def _is_ours(self, origin: str, caller: Caller) -> bool:
        """Tell whether a page comes from this server, by a name that is known or asked for.

        Where a token decides and nobody said what the server is called, it may be called
        anything: a name that leads here by a trick brings no token along.
        """
        if origin in self._origins:
            return True
        if self._token is None or self._has_public_url:
            return False
        host = caller.headers.get("host", "").lower()
        return bool(host) and origin in (f"http://{host}", f"https://{host}")

    def _check_token(self, caller: Caller) -> None:
        kind, _, given = caller.headers.get("authorization", "").partition(" ")
        # Digests are compared, as bytes: the text may be anything, and of any length.
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        is_right = self._token is not None and hmac.compare_digest(digest, self._token)
        if kind.lower() != "bearer" or not is_right:
            raise Unauthorized("send Authorization: Bearer and the admin token")

    def _check_local(self, caller: Caller) -> None:
        if caller.http_version != "1.1":
            raise Forbidden(
                "the admin API takes HTTP/1.1 from local callers: a proxy may speak 1.0"
            )
        if not (_is_loopback(caller.peer) and _is_loopback(caller.local)):
            raise Forbidden("without a token the admin API is for this machine alone")
        owner = self._owner_of(caller.peer, caller.peer_port)
        if owner not in (None, 0, os.getuid()):
            # A proxy in front may speak HTTP/1.1 and add no header; it has a user of its own.
            raise Forbidden("without a token the admin API is for the user who runs the server")
        if caller.headers.get("host", "").lower() not in self._hosts:
            raise HostNotAllowed(
                "the Host header is not a name of this machine with the server's port"
            )


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Put headers under lower-case names; one that comes twice must not hide the other."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def is_forwarding(name: str) -> bool:
    """Tell whether a header, its name in lower case, is one that proxies add."""
    return name in _FORWARDING or name.startswith("x-forwarded-")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
