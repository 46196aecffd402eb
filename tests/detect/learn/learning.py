"""Made-up machines for the tests of learning."""

import numpy as np

from gateway.detect.learn.table import Table

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
TAGS = ("temp", "flow", "speed")
UNITS = ("°C", "l/min", "rpm")


def running(rows=900, seed=1, fault=None):
    """Three tags that move together, once a second; from row `fault` on the flow falls though the speed does not."""
    rng = np.random.default_rng(seed)
    load = np.sin(np.arange(rows) / 40)[:, np.newaxis] + 0.2 * rng.standard_normal((rows, 1))
    values = np.array([50.0, 10.0, 1500.0]) + load * [2.0, 1.0, 60.0] + rng.standard_normal((rows, 3)) * [0.3, 0.1, 5.0]
    if fault is not None:
        values[fault:, 1] -= 2.5
    return Table(TAGS, UNITS, BEGIN + np.arange(rows) * SECOND, values)
