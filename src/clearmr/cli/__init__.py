"""The command line. `clearmr --help` loads no torch: each command imports what it needs when it runs."""

import errno
import os
import sys
from collections.abc import Sequence

import typer

import clearmr
from clearmr.cli import (
    bench,
    compare,
    demo,
    denoise,
    evaluate,
    models,
    recon,
    report,
    reproduce,
    simulate,
    snr,
    study,
    train,
)
from clearmr.errors import InputError

COMMANDS = (demo, simulate, recon, denoise, compare, evaluate, snr, report, reproduce, bench)
GROUPS = {"train": train, "models": models, "study": study}  # each with an `app`, and EXAMPLES of its subcommands
# typer's own copy of click or the real one, by version: the base of what it raises for a wrong command line.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]
# The user's disk, not our fault.
DISK = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG)

app = typer.Typer(
    name="clearmr",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Remove noise from MR images, and know how far the result can be trusted.\n\n"
    "The road: simulate or bring raw k-space, [b]recon[/b] it in SNR units, [b]denoise[/b] it, look at the "
    "[b]report[/b]. [b]demo[/b] walks all of it.",
)

for command in COMMANDS:
    app.command(name=command.NAME, epilog=f"Example: [b]{command.EXAMPLE}[/b]")(command.run)
for group, module in GROUPS.items():
    app.add_typer(module.app, name=group)


def _version(show: bool) -> bool:
    if show:
        typer.echo(f"clearmr {clearmr.__version__}")
        raise typer.Exit
    return show


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say it and stop."),
) -> None:
    pass


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args` (of the process, if not given).

    The exit code: 0 done, 2 the user's input is wrong (one line on stderr says how). A fault of ours raises: 1.
    """
    # Threads that spin long while they wait starve on a machine that others use too: 300 s instead of 7 s were seen.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    given = list(sys.argv[1:] if args is None else args)
    try:
        return int(app(given or ["--help"], prog_name="clearmr", standalone_mode=False) or 0)
    except InputError as error:
        return _refused(str(error))
    except UsageError as error:
        return _refused(_usage(error))
    except OSError as error:
        if error.errno not in DISK:
            raise
        return _refused(f"expected a disk to write to; found {error}; choose another folder or make room")


def _refused(line: str) -> int:
    typer.echo(f"clearmr: {line}", err=True)
    return 2


def _usage(error: Exception) -> str:
    """One line of a wrong command line, and where its help is."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "clearmr"
    return f"{' '.join(error.format_message().split())} See {path} --help."  # type: ignore[attr-defined]
