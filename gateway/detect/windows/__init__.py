"""Readings on a grid of time, and what is decided of them: the same steps for the running gateway and for data in a table.

    Readings ─▶ Binding ─▶ Grid ─▶ Judge (Scores ─▶ NofM, Drift) ─▶ turns: raised, cleared
             └▶ Slots ─▶ Limits ─▶ changes: broken, kept

Knows nothing of alarms or events: what a turn is called and who hears of it is decided above.
"""

from gateway.detect.windows.binding import Binding, Slots, columns
from gateway.detect.windows.drift import Figures
from gateway.detect.windows.grid import AT_LIMIT, REASONS, USABLE, Grid, Samples, is_scored
from gateway.detect.windows.judge import (
    ABOVE,
    NO_NUMBER,
    NORMAL,
    OUT_OF_RANGE,
    VERDICTS,
    WAITING,
    WARMUP,
    Judge,
    Tick,
    Transition,
)
from gateway.detect.windows.limits import Change, Limit, Limits
from gateway.detect.windows.n_of_m import NofM
from gateway.detect.windows.offline import Labels, blocks, label

__all__ = [
    "ABOVE",
    "AT_LIMIT",
    "NORMAL",
    "NO_NUMBER",
    "OUT_OF_RANGE",
    "REASONS",
    "USABLE",
    "VERDICTS",
    "WAITING",
    "WARMUP",
    "Binding",
    "Change",
    "Figures",
    "Grid",
    "Judge",
    "Labels",
    "Limit",
    "Limits",
    "NofM",
    "Samples",
    "Slots",
    "Tick",
    "Transition",
    "blocks",
    "columns",
    "is_scored",
    "label",
]
