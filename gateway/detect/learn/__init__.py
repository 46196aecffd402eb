"""Makes a first model for a device from its own normal data, without any library but numpy.

    CSV, Parquet, outbox ──▶ Table ──▶ Cells ──▶ Ensemble ──▶ graph + card = model.onnx ──▶ report
          sources.py        table.py  cells.py  ensemble.py  ensemble_graph.py, package.py   report.py

The cells come from the very grid that the running detector uses, so what is learned from is what will be scored.
"""
