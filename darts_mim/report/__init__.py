"""A backtest as one HTML file: what won and by how much, when and where it fails, how it was made."""

from darts_mim.report.write import write_report as write_report
