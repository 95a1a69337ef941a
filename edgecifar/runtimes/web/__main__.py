"""Builds the pages of the browser engines: `python -m edgecifar.runtimes.web`."""

import sys

from edgecifar.errors import EngineMissingError
from edgecifar.runtimes.web import build, is_built

try:
    if not is_built():
        build()
except EngineMissingError as error:
    sys.stderr.write(f"error: {error}\n")
    sys.exit(error.exit_status)
