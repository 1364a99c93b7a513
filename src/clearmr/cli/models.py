"""`clearmr models`: the networks that ship with the package, and the architectures that it can train."""

import dataclasses
from typing import Annotated, Any

import typer

from clearmr.cli import common
from clearmr.errors import InputError

EXAMPLES = {"list": "clearmr models list --json", "show": "clearmr models show snraware-small"}

app = typer.Typer(help="The networks that ship with the package, and those that it can train.")


def _cards() -> list[dict[str, Any]]:
    """The bundled models, with their cards."""
    from clearmr import methods

    bundled = [(method, name) for method in methods.METHODS for name in methods.room(method).bundled()]
    return [_card(method, name, bundled=True) for method, name in bundled]


def _card(method: str, name: str, *, bundled: bool) -> dict[str, Any]:
    from clearmr import methods

    loaded = methods.room(method).load(name)
    nets = [net for net in (loaded.net, getattr(loaded, "second", None)) if net is not None]
    parameters = sum(p.numel() for net in nets for p in net.parameters())
    return {"name": name, "method": method, "parameters": parameters, "bundled": bundled, "card": loaded.card}


def _architectures() -> list[dict[str, Any]]:
    """The networks of Table 2 of Xue et al. 2025, counted without taking memory for them."""
    from clearmr.methods.snraware import model

    rows = []
    for name in model.TABLE2_ARCHITECTURES:
        net = model.table2(name)
        count, published = model.parameters(net), model.TABLE2_PARAMETERS[name]
        channels = {"channels in": model.channels_in(net), "channels out": model.channels_out(net)}
        row = {"name": name, "method": "snraware", "parameters": count, "bundled": False, "table 2": published}
        rows.append(row | channels | {"net": dataclasses.asdict(net)})
    return rows


def _schemes() -> list[dict[str, Any]]:
    """Those of Deformed2Self: they have no weights but learn from the series itself; parameters as for magnitudes."""
    from clearmr import methods
    from clearmr.methods.deformed2self import model, presets

    start = methods.room(methods.METHODS[0]).load(None, is_complex=False)
    rows = []
    for name, preset in presets.PRESETS.items():
        config = preset()
        net = model.build(config.net, channels=1, others=config.train.others, seed=0)
        used = start.net if config.scheme == "prior" else net
        row = {"name": name, "method": "deformed2self", "parameters": sum(p.numel() for p in used.parameters())}
        begins = {"begins at": start.name} if config.scheme == "prior" else {}
        rows.append(
            {**row, "bundled": False, **begins, "scheme": config.scheme, "settings": dataclasses.asdict(config)}
        )
    return rows


@app.command(name="list", epilog=f"Example: [b]{EXAMPLES['list']}[/b]")
def list_models(as_json: common.AsJson = False) -> None:
    """Name, method and number of parameters: models with weights, architectures to train, what needs no training."""
    shown = ("name", "method", "parameters", "bundled", "table 2", "scheme", "begins at")
    rows = [{k: v for k, v in row.items() if k in shown} for row in (*_cards(), *_architectures(), *_schemes())]
    if as_json:
        common.emit(rows)
        return
    for row in rows:
        typer.echo(f"{row['name']:24s} {row['method']:13s} {row['parameters']:>12,} parameters  {_kind(row)}")


def _kind(row: dict[str, Any]) -> str:
    if row["bundled"]:
        return "bundled"
    if "table 2" in row:
        return f"to train; Table 2: {row['table 2']:,}"
    return f"learns from the series itself{', from ' + row['begins at'] if 'begins at' in row else ''}"


@app.command(epilog=f"Example: [b]{EXAMPLES['show']}[/b]")
def show(name: Annotated[str, typer.Argument(help="As clearmr models list says, or a model's file.")]) -> None:
    """As JSON, a model's card (data, licence, recipe, figures), or an architecture's or scheme's settings and count."""
    from clearmr import methods

    known = {row["name"]: row for row in (*_schemes(), *_architectures(), *_cards())}
    if name not in known and (method := methods.of_model(name)):
        common.emit(_card(method, name, bundled=False))
        return
    if name not in known:
        raise InputError(f"a model among {', '.join(known)}", name, "see clearmr models list")
    common.emit(known[name])
