"""Draw the status for a person at a terminal: the sentence first, then each model."""

from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modeld.cli.terminal import HEALTH_STYLES, cell

Document = dict[str, Any]

_COLUMNS = ("model", "live", "wanted", "since", "runs", "rollback to")


def status_view(document: Document, *, bullet: str) -> RenderableType:
    """Draw the status document."""
    style = HEALTH_STYLES.get(document["health"]["status"], "red")
    parts: list[RenderableType] = [
        Text.assemble((f"{bullet} ", style), cell(document["summary"], "bold"))
    ]
    if document["next"]:
        parts.append(Text.assemble("  Next: ", cell(document["next"], "yellow")))
    notes = document["live"]["warnings"]
    parts += [Text.assemble("  Note: ", cell(note, "yellow")) for note in notes]
    parts += ["", _models(document["models"]), "", _footer(document, style)]
    return Group(*parts)


def absence_view(message: str, *, bullet: str) -> RenderableType:
    """Draw that no server answers."""
    return Group(
        Text.assemble((f"{bullet} ", "red"), ("No server answers.", "bold")),
        Text.assemble("  ", cell(message, "dim")),
    )


def _models(models: Document) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in _COLUMNS:
        table.add_column(name)
    for name, model in models.items():
        is_met = model["active"] == model["desired"]
        table.add_row(
            cell(name),
            cell(model["active"] or "-", "green" if model["active"] else "red"),
            cell(model["desired"] or "-", "" if is_met else "yellow"),
            cell(_local(model["since"])),
            cell(_runs(model)),
            cell(model["rollback_target"] or "-"),
        )
    return table


def _runs(model: Document) -> str:
    live = (each for each in model["loaded"] if each["version"] == model["active"])
    return next((f"{each['runtime']}, {each['runs']}" for each in live), "-")


def _local(moment: str | None) -> str:
    if moment is None:
        return "-"
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")


def _footer(document: Document, style: str) -> Text:
    sync, health = document["sync"], document["health"]
    serving = [each for each in document["processes"]["workers"] if each["serves"]]
    facts = [
        f"{sync['status']} ({sync['reason']})",
        f"generation {document['generation']}",
        f"{len(serving)} worker{'s' if len(serving) != 1 else ''}",
        *([f"{len(document['holds'])} held"] if document["holds"] else []),
        document["instance"],
    ]
    return Text.assemble(cell(health["status"], style), cell(" | " + " | ".join(facts), "dim"))
