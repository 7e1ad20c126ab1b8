"""`/ui`: the page, from files that come with the package.

The files are read once, at the start, into a table: a path that is not in it is no file.
They are public, because there is nothing in them that is not in everybody's package; what
the page shows it asks of the admin API, with the token of whoever looks at it.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from modeld.control.web.calls import Answer, Call, Calls
from modeld.errors import NotFound

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "font-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_SHELL = "index.html"


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    headers: dict[str, str]

    def answer(self, call: Call) -> Answer:
        """Give the file, unless the browser has this very one."""
        known = call.caller.headers.get("if-none-match", "")
        if self.headers["ETag"] in (tag.strip() for tag in known.split(",")):
            return Answer(304, b"", self.headers)
        return Answer(200, self.content, self.headers)


def add_ui(calls: Calls) -> None:
    """Add the page, and one route for each of its files."""
    for name, file in read_files().items():
        _add(calls, "/ui" if name == _SHELL else f"/ui/{name}", file)

    async def elsewhere(call: Call) -> Answer:
        if call.path != "/ui/":
            raise NotFound("the page has no such file")
        return Answer(308, b"", {"Location": "../ui"})

    calls.add("GET", "/ui/", elsewhere, is_public=True)


def _add(calls: Calls, path: str, file: _File) -> None:
    async def get(call: Call) -> Answer:
        return file.answer(call)

    calls.add("GET", path, get, is_public=True)


def read_files() -> dict[str, _File]:
    """Read all files of the page, by name."""
    folder = files("modeld.control.web") / "static"
    return {each.name: _file(each.name, each.read_bytes()) for each in folder.iterdir()}


def _file(name: str, content: bytes) -> _File:
    return _File(
        content,
        {
            "Content-Type": _TYPES[name.rpartition(".")[2]],
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _POLICY,
            "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )
