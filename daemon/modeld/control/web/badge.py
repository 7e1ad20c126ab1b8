"""Draw what is live as a small picture, for the README of a repository.

Plain shapes and text: no script, no style and nothing from elsewhere, so that any page may
show it under any policy. It says no more than `/healthz`, which is public too.
"""

import asyncio
from html import escape

from modeld.control.publisher import Publisher
from modeld.control.status import Status
from modeld.control.web.calls import Answer, Call, Calls
from modeld.domain import DEFAULT_MODEL

_COLOURS = {"Healthy": "#2f7d32", "Progressing": "#0b62a4", "Degraded": "#b35900"}
_NOT_READY = "#b3261e"
_UNKNOWN = "#6b6b6b"
_CHARACTER_WIDTH = 7
_MARGIN = 6

_HEADERS = {
    "Content-Type": "image/svg+xml; charset=utf-8",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" \
aria-label="{title}">
<title>{title}</title>
<rect width="{width}" height="20" rx="3" fill="#444"/>
<path d="M{left} 0h{inner}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{inner}z" fill="{colour}"/>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="{label_x}" y="14" textLength="{label_length}">{label}</text>
<text x="{said_x}" y="14" textLength="{said_length}">{said}</text>
</g>
</svg>
"""


def add_badge(calls: Calls, status: Status, publisher: Publisher) -> None:
    """Add `/badge.svg`."""

    async def badge(call: Call) -> Answer:
        model = call.query.get("model", DEFAULT_MODEL)
        live = publisher.live_versions().get(model)
        if live is None and model != DEFAULT_MODEL:
            # Not the name that was asked for: nobody's words are put into a picture of ours.
            picture = draw("model", "not live", _UNKNOWN, "no such model is live")
            return Answer(404, picture, _HEADERS)
        health, _ = await asyncio.to_thread(status.health)
        label = "model" if model == DEFAULT_MODEL else model
        said = live or "nothing live"
        colour = _COLOURS.get(health, _NOT_READY)
        return Answer(200, draw(label, said, colour, f"{label}: {said}, {health}"), _HEADERS)

    calls.add("GET", "/badge.svg", badge, is_public=True)


def draw(label: str, said: str, colour: str, title: str) -> bytes:
    """Draw two texts side by side; each is put on the width that it is given."""
    lengths = [max(len(text), 1) * _CHARACTER_WIDTH for text in (label, said)]
    left, right = (length + 2 * _MARGIN for length in lengths)
    drawn = _SVG.format(
        width=left + right,
        left=left,
        inner=right - 3,
        colour=colour,
        title=escape(title),
        label=escape(label),
        label_x=left / 2,
        label_length=lengths[0],
        said=escape(said),
        said_x=left + right / 2,
        said_length=lengths[1],
    )
    return drawn.encode(errors="replace")
