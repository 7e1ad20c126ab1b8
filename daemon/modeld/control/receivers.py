"""Write a message as its receiver wants it: Slack, Discord, ntfy, or plain JSON.

Which one it is shows in the address. Whatever a person or a file wrote into a message is
text there too: it can call nobody and link nowhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from modeld.control.notices import Notice

_NTFY = "ntfy+"
_SLACK = ("hooks.slack.com", "hooks.slack-gov.com")
_DISCORD = ("discord.com", "discordapp.com")
_LONGEST_TEXT = 1900
_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told. `at` is written for programs, `url` is that of the page."""

    notice: Notice
    summary: str
    next: str
    instance: str
    url: str
    at: str

    def document(self) -> dict[str, str | None]:
        """Write it for a program."""
        notice = self.notice
        return {
            "summary": self.summary,
            "next": self.next,
            "event": notice.event,
            "model": notice.model,
            "version": notice.version or None,
            "previous": notice.previous or None,
            "reason": notice.reason,
            "actor": notice.actor,
            "instance": self.instance,
            "url": self.url,
            "at": self.at,
        }

    def text(self) -> str:
        """Write it for a person, without the address of the page."""
        lines = [f"{self.instance}: {self.notice.headline()} {self.summary}"]
        lines += [f"Next: {self.next}"] if self.next else []
        return "\n".join(map(_printable, lines))[:_LONGEST_TEXT]


@dataclass(frozen=True, slots=True)
class Letter:
    """A body and its headers."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where messages go. The address is a secret: it does not print, only `host` may be shown."""

    kind: str
    host: str
    url: str = field(repr=False)

    def letter(self, message: Message) -> Letter:
        """Write a message for this receiver."""
        text = message.text()
        if self.kind == "slack":
            return _json({"text": f"{_escaped(text)}\n{message.url}"})
        if self.kind == "discord":
            # Nobody is called by a name that stands in a reason.
            return _json({"content": f"{text}\n{message.url}", "allowed_mentions": {"parse": []}})
        if self.kind == "ntfy":
            title = {"Title": f"modeld: {message.notice.event}", "Click": message.url}
            return Letter(text.encode(errors="replace"), _TEXT | title)
        return _json(message.document())


def receivers(urls: str) -> tuple[Receiver, ...]:
    """Read the addresses of the setting, which have been checked."""
    return tuple(_receiver(url.strip()) for url in urls.split(",") if url.strip())


def _receiver(url: str) -> Receiver:
    plain = url.removeprefix(_NTFY)
    parts = urlsplit(plain)
    name = parts.hostname or ""
    host = f"{name}:{parts.port}" if parts.port else name
    if plain != url:
        return Receiver("ntfy", host, plain)
    if name in _SLACK:
        return Receiver("slack", host, url)
    is_discord = any(name == each or name.endswith(f".{each}") for each in _DISCORD)
    if is_discord and parts.path.startswith("/api/webhooks/"):
        return Receiver("discord", host, url)
    return Receiver("json", host, url)


def _printable(line: str) -> str:
    """Leave out what is no text: a reason may hold what a terminal acts on."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)


def _escaped(text: str) -> str:
    """Write what Slack takes for links and calls as the characters that they are."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(content: Mapping[str, object]) -> Letter:
    # ASCII alone: a reason may hold what UTF-8 cannot.
    return Letter(json.dumps(content).encode(), _JSON)
