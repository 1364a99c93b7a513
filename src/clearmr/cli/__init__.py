"""The command line. `clearmr --help` loads no torch: each command imports what it needs when it runs."""

import sys

import typer
from typer.core import TyperGroup

import clearmr
from clearmr.cli import bench, demo, denoise, evaluate, models, recon, report, simulate, train
from clearmr.errors import InputError

app = typer.Typer(
    name="clearmr",
    cls=TyperGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Remove noise from MR images, and know how far the result can be trusted.\n\n"
    "The road: simulate or bring raw k-space, [b]recon[/b] it in SNR units, [b]denoise[/b] it, look at the "
    "[b]report[/b]. [b]demo[/b] walks all of it.",
)

for command in (demo, simulate, recon, denoise, evaluate, report, train, bench):
    app.command(name=command.NAME, epilog=f"Example: [b]{command.EXAMPLE}[/b]")(command.run)
app.add_typer(models.app, name="models")


def _version(show: bool) -> None:
    if show:
        typer.echo(f"clearmr {clearmr.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say it and stop."),
) -> None:
    pass


def main() -> None:
    """Run the command line: exit 0 done, 2 the user's input is wrong (one line says how), 1 a fault of ours."""
    try:
        app()
    except InputError as error:
        typer.echo(f"clearmr: {error}", err=True)
        sys.exit(2)
