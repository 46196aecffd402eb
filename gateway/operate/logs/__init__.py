"""Where log lines go: to a person on a terminal, or to the journal with fields that `journalctl` can search, an id of what
happened that its catalogue explains, and repeats folded."""

from gateway.operate.logs.lines import only_errors, set_up

__all__ = ["only_errors", "set_up"]
