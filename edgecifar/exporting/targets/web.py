"""The target web: a page of static files with ONNX Runtime Web."""

from pathlib import Path

from edgecifar.exporting.targets.material import Embedded, Material, need
from edgecifar.exporting.targets.rendering import write_target

_FILES = (
    "web/README.md.jinja",
    "web/index.html.jinja",
    "web/style.css",
    "web/app.js",
    "web/classifier.js.jinja",
    "web/offline.js.jinja",
    "web/build.mjs",
    "web/package.json",
    "web/package-lock.json",
)


def write(material: Material, folder: Path) -> list[Embedded]:
    """Returns what the folder embeds, after writing it; `npm run build` there adds the engine."""
    models = need(material, "web", ("onnx",))
    write_target(material, folder, models, _FILES)
    return models
