"""The command line: parses, calls the pipeline, prints. No stage is imported before a command runs."""

from edgecifar.cli.app import app, main

__all__ = ["app", "main"]
