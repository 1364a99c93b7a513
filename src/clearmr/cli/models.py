"""`clearmr models`: the networks that ship with the package."""

from typing import Annotated, Any

import typer

from clearmr.cli import common
from clearmr.errors import InputError

EXAMPLES = {"list": "clearmr models list --json", "show": "clearmr models show snraware-tiny"}

app = typer.Typer(help="The networks that ship with the package.")


def _cards() -> list[dict[str, Any]]:
    from clearmr import methods

    cards = []
    for method in methods.METHODS:
        room = methods.room(method)
        for name in room.bundled():
            loaded = room.load(name)
            parameters = sum(p.numel() for p in loaded.net.parameters())
            cards.append(
                {"name": name, "method": method, "parameters": parameters, "bundled": True, "card": loaded.card}
            )
    return cards


@app.command(name="list", epilog=f"Example: [b]{EXAMPLES['list']}[/b]")
def list_models(as_json: common.AsJson = False) -> None:
    """Name, method and number of parameters of each model."""
    rows = [{k: v for k, v in card.items() if k != "card"} for card in _cards()]
    if as_json:
        common.emit(rows)
        return
    for row in rows:
        typer.echo(f"{row['name']:24s} {row['method']:12s} {row['parameters']:>12,} parameters")


@app.command(epilog=f"Example: [b]{EXAMPLES['show']}[/b]")
def show(name: Annotated[str, typer.Argument(help="As clearmr models list says.")]) -> None:
    """The model card as JSON: data, licence, recipe, command, measured figures."""
    cards = {card["name"]: card for card in _cards()}
    if name not in cards:
        raise InputError(f"a model among {', '.join(cards) or '(none)'}", name, "see clearmr models list")
    common.emit(cards[name])
