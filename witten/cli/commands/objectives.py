"""`witten objectives`: the gallery."""

from __future__ import annotations

from typing import Any

from witten.cli.options import base_command, options
from witten.cli.output import print_json, print_line, print_table

EXAMPLES = base_command.examples(
    "witten objectives", "witten objectives --json", "witten gap double-well:barrier=0.5 --lr 0.1"
)


def objectives(as_json: options.Json = False) -> None:
    """The gallery of objectives: names, formulas, parameters, purpose."""
    entries = _entries()
    if as_json:
        print_json({"objectives": entries})
        return
    print_table(
        "Objectives",
        ("name", "dim", "formula", "about"),
        [(_call(entry), str(entry["dimension"]), entry["formula"], entry["about"]) for entry in entries],
        left=("name", "formula", "about"),
    )
    print_line(
        'Parameters are given after a colon: "double-well:barrier=0.5,dim=2". A formula works too: "x**4/4 - x**2/2".'
    )


def _entries() -> list[dict[str, Any]]:
    from witten.objectives import gallery

    return [
        {
            "name": entry.name,
            "dimension": entry.dimension,
            "formula": entry.formula,
            "parameters": dict(entry.parameters),
            "about": entry.about,
        }
        for entry in gallery.ENTRIES.values()
    ]


def _call(entry: dict[str, Any]) -> str:
    """The name with its parameters at their defaults, as one would type it."""
    given = ",".join(f"{name}={value:g}" for name, value in entry["parameters"].items())
    return f"{entry['name']}:{given}" if given else str(entry["name"])
