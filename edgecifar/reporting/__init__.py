"""Reporting: views of one ParityReport. Nothing is computed here beyond formatting."""

from edgecifar.reporting.files import write_report
from edgecifar.reporting.sentences import verdict_sentence
from edgecifar.reporting.terminal import ReportView

__all__ = ["ReportView", "verdict_sentence", "write_report"]
