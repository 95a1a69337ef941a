"""The Typer app, and the one place where errors become messages and exit statuses."""

import errno
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import edgecifar
from edgecifar.cli import (
    benchmarking,
    checking,
    comparing,
    explaining,
    exporting,
    listing,
    looking,
    making,
    proving,
)
from edgecifar.cli.terminal import Terminal, terminal
from edgecifar.errors import EdgecifarError

INTERRUPTED = 130
ANYWHERE = ("--quiet", "-q", "--debug")
"""Options that may stand before and after the command."""

MENDS = {
    errno.EACCES: "Change its permissions, or choose another place.",
    errno.EPERM: "Change its permissions, or choose another place.",
    errno.EROFS: "Choose another place: this one is read-only.",
    errno.EEXIST: "A folder is needed in the place of this file: choose another place.",
    errno.ENOTDIR: "A folder is needed in the place of a file: choose another place.",
    errno.ENOSPC: "Make room and try again: what was there before is as it was.",
    errno.EDQUOT: "Make room and try again: what was there before is as it was.",
}
"""What to do about the operating system's errors that people can act on."""

HELP = """Train, compress and export small image classifiers, and prove in the real inference engines what
each export cost.

Start with:  edgecifar train --recipe demo  (needs no download), then  edgecifar export  and
edgecifar verify.

Exit status: 0 done, 1 a gate failed, 2 wrong usage or unusable input, 3 a needed engine or device is
missing, 130 interrupted.

--quiet and --debug may stand after the command as well.
"""


class Commands(TyperGroup):
    """Turns what a command raises into one clear sentence and an exit status."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes the options of `ANYWHERE` from behind the command too."""
        end = args.index("--") if "--" in args else len(args)
        moved = [word for word in args[:end] if word in ANYWHERE]
        kept = [word for word in args[:end] if word not in ANYWHERE]
        left: list[str] = super().parse_args(ctx, [*moved, *kept, *args[end:]])
        return left

    def invoke(self, ctx: Any) -> Any:  # typer.Context, which the base class does not name
        """Runs the command.

        Raises:
            typer.Exit: With the status that fits the error.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            terminal().error("Interrupted.", terminal().go_on)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of the output has gone, as `head` does: Typer ends quietly.
            raise
        except (EdgecifarError, OSError) as error:
            if terminal().debug:
                raise
            if isinstance(error, EdgecifarError):
                terminal().error(error.problem, error.mend)
                raise typer.Exit(error.exit_status) from None
            place = f"{error.filename}: " if error.filename else ""
            terminal().error(f"{place}{error.strerror or error}.", MENDS.get(error.errno or 0, ""))
            raise typer.Exit(EdgecifarError.exit_status) from None


app = typer.Typer(
    cls=Commands,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgecifar {edgecifar.__version__}")
        raise typer.Exit


@app.callback()
def options(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and what the libraries print.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that stand before the command."""
    Terminal.start(quiet=quiet, debug=debug)


making.register(app)
exporting.register(app)
listing.register(app)
proving.register(app)
looking.register(app)
comparing.register(app)
explaining.register(app)
benchmarking.register(app)
checking.register(app)


def main() -> None:
    """Runs the command line and exits."""
    try:
        app(prog_name="edgecifar")
    except KeyboardInterrupt:
        # Outside a command, while modules were loading.
        sys.exit(INTERRUPTED)
