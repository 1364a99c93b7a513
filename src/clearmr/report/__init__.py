"""The room of the report: results folders in, self-contained web pages out. Needs no torch.

`Results.load(folder)` reads `results.json` and `arrays.npz`, `render` makes the page, `write_report` does both and
writes; `write_group` makes one page of many folders. `clearmr.report.figures.panel` draws a still picture of the same
results with matplotlib. Pages of another kind are built from `clearmr.report.panes` and `clearmr.report.shell`.
"""

from clearmr.report.group import write_group
from clearmr.report.page import render, write_report
from clearmr.report.results import Results

__all__ = ["Results", "render", "write_group", "write_report"]
