"""Reporting: views of one ParityReport. Nothing is computed here beyond formatting."""

from edgecifar.reporting.files import write_report
from edgecifar.reporting.sentences import broken_gates, undecided_gates, verdict_sentence
from edgecifar.reporting.terminal import ReportView

__all__ = ["ReportView", "broken_gates", "undecided_gates", "verdict_sentence", "write_report"]
