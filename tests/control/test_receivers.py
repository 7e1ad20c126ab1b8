"""Messages as their receivers want them."""

import json
from typing import Any

import pytest

from modeld.config_values import check_receivers
from modeld.control.notices import Notice
from modeld.control.receivers import Message, receivers

NOTICE = Notice("rollback", 7, "default", "v1", "v2", "p99 <4x> & @everyone", "anna")
MESSAGE = Message(
    NOTICE, "Serving v1 since 02:14.", "modeld unhold v2", "host-1", "http://x/ui", "2026-01-01"
)
SLACK = "https://hooks.slack.com/services/T0/B0/secret"
DISCORD = "https://discord.com/api/webhooks/1/secret"


def sent(url: str) -> Any:
    (receiver,) = receivers(url)
    return json.loads(receiver.letter(MESSAGE).body)


@pytest.mark.parametrize(
    ("url", "kind", "host"),
    [
        (SLACK, "slack", "hooks.slack.com"),
        (DISCORD, "discord", "discord.com"),
        ("https://ptb.discord.com/api/webhooks/1/s", "discord", "ptb.discord.com"),
        ("https://discord.com/elsewhere", "json", "discord.com"),
        ("https://hooks.slack.com.example.org/services/x", "json", "hooks.slack.com.example.org"),
        ("ntfy+https://ntfy.sh/topic", "ntfy", "ntfy.sh"),
        ("https://me:pass@example.org:8443/x?token=1", "json", "example.org:8443"),
        ("http://127.0.0.1:9/x", "json", "127.0.0.1:9"),
    ],
)
def test_the_address_tells_who_receives(url: str, kind: str, host: str) -> None:
    (receiver,) = receivers(url)

    assert (receiver.kind, receiver.host) == (kind, host)
    assert check_receivers(url) == url


def test_an_address_does_not_print() -> None:
    assert "secret" not in repr(receivers(f"{SLACK}, {DISCORD}"))


def test_a_program_gets_every_fact_by_name() -> None:
    assert sent("https://example.org/hook") == {
        "summary": "Serving v1 since 02:14.",
        "next": "modeld unhold v2",
        "event": "rollback",
        "model": "default",
        "version": "v1",
        "previous": "v2",
        "reason": "p99 <4x> & @everyone",
        "actor": "anna",
        "instance": "host-1",
        "url": "http://x/ui",
        "at": "2026-01-01",
    }


def test_slack_gets_no_links_or_calls_of_others() -> None:
    assert sent(SLACK) == {
        "text": "host-1: Rolled back from v2 to v1 by anna: p99 &lt;4x&gt; &amp; @everyone. "
        "Serving v1 since 02:14.\nNext: modeld unhold v2\nhttp://x/ui"
    }


def test_discord_calls_nobody() -> None:
    found = sent(DISCORD)

    assert found["allowed_mentions"] == {"parse": []}
    assert found["content"].endswith("\nNext: modeld unhold v2\nhttp://x/ui")


def test_ntfy_gets_text_a_title_and_a_link() -> None:
    (receiver,) = receivers("ntfy+https://ntfy.sh/topic")

    letter = receiver.letter(MESSAGE)

    assert receiver.url == "https://ntfy.sh/topic"
    assert letter.headers == {
        "Content-Type": "text/plain; charset=utf-8",
        "Title": "modeld: rollback",
        "Click": "http://x/ui",
    }
    assert b"Serving v1 since 02:14." in letter.body


def test_what_is_no_text_is_left_out_of_what_people_read() -> None:
    notice = Notice("rollback", 7, "default", "v1", "v2", "bad \x1b[31m\r\nX: y")
    (receiver,) = receivers("ntfy+https://ntfy.sh/topic")

    body = receiver.letter(Message(notice, "s", "", "i", "u", "t")).body.decode()

    assert body == "i: Rolled back from v2 to v1: bad \ufffd[31m\ufffd\ufffdX: y. s"


@pytest.mark.parametrize("url", [SLACK, DISCORD, "https://x.org/y", "ntfy+https://ntfy.sh/t"])
def test_a_reason_of_any_length_and_kind_can_be_sent(url: str) -> None:
    notice = Notice("rollback", 7, "default", "v1", "v2", "\udc80" * 9000)
    (receiver,) = receivers(url)

    body = receiver.letter(Message(notice, "s", "", "i", "u", "t")).body

    assert body


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "http://127.0.0.1.example.org/x",
        "ftp://example.org/x",
        "slack://token",
        "https://",
        "https:///path",
        "https://example.org:99999/x",
        "https://[::1/x",
        "https://exa mple.org/x",
        "https://example.org/é",
        "ntfy+https://ntfy.sh/",
        "ntfy+https://ntfy.sh",
        "https://example.org/x,nonsense",
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="https://host/path"):
        check_receivers(url)
