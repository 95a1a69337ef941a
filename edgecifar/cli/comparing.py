"""compare."""

from pathlib import Path
from typing import Annotated

import typer

from edgecifar.cli.making import JsonOption
from edgecifar.cli.terminal import load_pipeline, terminal

SUFFIXES = (".html", ".md")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(compare)


def compare(
    reports: Annotated[
        list[Path],
        typer.Argument(
            metavar="REPORT REPORT...", help="report.json files, the folders that hold them, or bundles."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write it to this file too: .html or .md.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold two or more reports side by side: what changed since the first, model by model.

    Says so where the images, the reference, the gates, the CPU or the engines differ too.

    \b
    Examples:
      edgecifar compare exported/mine-1 exported/mine-2
      edgecifar compare last/report.json report/report.json --out changes.md
    """
    if out is not None and out.suffix not in SUFFIXES:
        raise typer.BadParameter(f"--out {out}: a file that ends in {' or '.join(SUFFIXES)} is needed.")
    changes = load_pipeline().compare(reports)
    from edgecifar.artifacts.files import write_text
    from edgecifar.reporting.changes import ChangesView, render_html, render_markdown

    if as_json:
        terminal().data(changes.model_dump_json(indent=2))
    else:
        terminal().result(ChangesView(changes))
    if out is not None:
        write_text(out, render_html(changes) if out.suffix == ".html" else render_markdown(changes))
        terminal().say(f"Written: {out}")
