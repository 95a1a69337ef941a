"""Library: Vega, Vega-Lite and Vega-Embed as one script that needs no network."""

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

import vl_convert

from edgecifar.artifacts.files import write_bytes
from edgecifar.host import cache_folder

SNIPPET = "window.vegaEmbed = vegaEmbed;"


@functools.cache
def chart_library() -> str:
    """Returns the script, safe within a `script` element of type "module".

    To bundle it takes seconds, so it is kept in the user's cache. Its file has its SHA-256 in its name: one
    that was altered is bundled anew. A cache that cannot be written costs those seconds again.
    """
    folder = cache_folder() / "charts"
    for path in folder.glob(f"{_stem()}-*.js"):
        content = path.read_bytes()
        if path == _path(folder, content):
            return content.decode()
    script = _bundle()
    try:
        write_bytes(_path(folder, script.encode()), script.encode())
    except OSError:
        # A read-only home is no reason to fail: the script is here.
        return script
    return script


def _bundle() -> str:
    bundle: str = vl_convert.javascript_bundle(SNIPPET)
    # The only text that could end the script's element.
    return bundle.replace("</script", "<\\/script")


def _stem() -> str:
    return f"vega-by-vl-convert-{version('vl-convert-python')}"


def _path(folder: Path, content: bytes) -> Path:
    return folder / f"{_stem()}-{hashlib.sha256(content).hexdigest()}.js"
