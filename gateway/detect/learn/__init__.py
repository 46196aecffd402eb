"""Makes a first model for a device from its own normal data, without any library but numpy.

    CSV, Parquet, outbox ──▶ Table ──▶ Cells ──▶ Ensemble ──▶ graph + card = model.onnx ──▶ report
          sources.py        table.py  cells.py  ensemble.py  ensemble_graph.py, package.py   report_page.py

The cells come from the very grid that the running detector uses, so what is learned from is what will be scored.
"""

from gateway.detect.learn.cells import usual_period_ns
from gateway.detect.learn.package import Learned, Order, learn
from gateway.detect.learn.report_page import report
from gateway.detect.learn.sources import from_outbox, read_file
from gateway.detect.learn.table import Table

__all__ = ["Learned", "Order", "Table", "from_outbox", "learn", "read_file", "report", "usual_period_ns"]
