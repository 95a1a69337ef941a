"""Chatter: what third-party libraries print on their own, kept from the terminal and left in the log."""

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

log = logging.getLogger(__name__)

_one_at_a_time = threading.RLock()
"""Two threads that divert and put back the same descriptors in turn would leave them diverted."""


@dataclass(slots=True)
class Chatter:
    """What was printed inside a `diverted` block."""

    text: str = ""
    """Empty until the block has ended."""


@contextmanager
def diverted() -> Iterator[Chatter]:
    """Diverts standard output, standard error and warnings of the block to the log, at level debug.

    Converters and engines are C++ and write to the file descriptors themselves, which Python's own
    redirection does not see. Other threads that print meanwhile are diverted too.
    """
    chatter = Chatter()
    with _one_at_a_time, tempfile.TemporaryFile() as file, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with (
                _redirected(1, file.fileno()),
                _redirected(2, file.fileno()),
                # In a notebook, Python's own streams are not the descriptors.
                os.fdopen(os.dup(file.fileno()), "w", encoding="utf-8", buffering=1) as stream,
                redirect_stdout(stream),
                redirect_stderr(stream),
            ):
                yield chatter
        finally:
            file.seek(0)
            printed = file.read().decode(errors="replace")
            chatter.text = "\n".join([printed.strip(), *(str(warning.message) for warning in caught)]).strip()
            if chatter.text:
                log.debug("%s", chatter.text)


@contextmanager
def _redirected(descriptor: int, target: int) -> Iterator[None]:
    saved = os.dup(descriptor)
    _flush()
    try:
        os.dup2(target, descriptor)
        yield
    finally:
        _flush()
        os.dup2(saved, descriptor)
        os.close(saved)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
