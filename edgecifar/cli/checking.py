"""unpack-check."""

from pathlib import Path
from typing import Annotated

import typer

from edgecifar.cli.terminal import quoted, terminal


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command("unpack-check")(unpack_check)


def unpack_check(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, or a .zip or .tar.gz of one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")] = False,
) -> None:
    """Check every hash of a bundle before it is unpacked or used; nothing is written.

    Refused with status 2: a file that was altered, is missing or is not in the manifest; a path that
    leads out of the bundle, a link; a schema newer than this version reads.

    \b
    Examples:
      edgecifar unpack-check exported/edge-vgg6
      edgecifar unpack-check edge-vgg6.tar.gz
    """
    import json

    from edgecifar.artifacts.integrity import check_bundle

    checked = check_bundle(bundle)
    manifest = checked.manifest
    if as_json:
        summary = {
            "name": manifest.name,
            "schema_version": manifest.schema_version,
            "files": len(manifest.entries),
            "size_bytes": checked.size_bytes,
            "targets": [target.name for target in manifest.targets],
            "uncovered": checked.uncovered,
        }
        terminal().data(json.dumps(summary, indent=2))
        return
    files = f"{len(manifest.entries)} files, {checked.size_bytes:,} bytes"
    terminal().result(f"{manifest.name}: {files}, each as its manifest says.")
    if checked.uncovered:
        count = len(checked.uncovered)
        files = "1 file" if count == 1 else f"{count} files"
        terminal().say(f"Not covered by the manifest: {files} in report/, which verify writes later.")
    if bundle.is_dir():
        terminal().next_step(f"edgecifar verify {quoted(bundle)}")
