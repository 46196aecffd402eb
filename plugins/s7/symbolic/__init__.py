"""The second transport: values by symbol, as the TIA Portal asks for them (S7CommPlus)."""

from .driver import S7Symbolic

__all__ = ["S7Symbolic"]
