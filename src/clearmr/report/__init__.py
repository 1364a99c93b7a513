"""The room of the report: a results folder in, one self-contained HTML page out. Needs no torch.

`Results.load(folder)` reads `results.json` and `arrays.npz`, `render` makes the page, `write_report` does both and
writes. `clearmr.report.figures.panel` draws a still picture of the same results with matplotlib.
"""

from clearmr.report.page import render, write_report
from clearmr.report.results import Results

__all__ = ["Results", "render", "write_report"]
