"""Files that people write, as text: TOML with the line of each key and all mistakes of its form, and spreadsheets' tables."""

from gateway.config.text.sheet import Sheet, SheetError, moment, read_sheet, shows_error
from gateway.config.text.toml_file import excerpt, mistakes, read_bytes, read_in_part, read_toml
from gateway.config.text.toml_lines import Lines, Steps

__all__ = [
    "Lines",
    "Sheet",
    "SheetError",
    "Steps",
    "excerpt",
    "mistakes",
    "moment",
    "read_bytes",
    "read_in_part",
    "read_sheet",
    "read_toml",
    "shows_error",
]
