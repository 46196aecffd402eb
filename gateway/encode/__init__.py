"""A block of readings in its forms, and what they hash to: columns on disk, JSON for a broker, the hash of a record. Pure.

columns.py      as the payload of a record; `exact_bytes.py`: what of it is no float64
json_block.py   as JSON messages; `json_layout.py` plans them, `json_value.py` and `json_clock.py` have single members
template.py     a payload in another form, as a plan; `templated.py` fills it, `presets.py` has those of other gateways
cell_text.py    what no float64 holds, as text for a cell of a table
record_hash.py  what a message says, hashed: computed from the columns, or by whoever holds the JSON
"""

from gateway.encode.cell_text import exact_text
from gateway.encode.columns import are_of
from gateway.encode.json_block import MILLISECOND, BlockJson
from gateway.encode.json_clock import clock_json, clock_members
from gateway.encode.json_value import exact_json
from gateway.encode.presets import PRESETS, preset
from gateway.encode.record_hash import RecordHash
from gateway.encode.template import MESSAGE, READING, RECORD, Template, TemplateError, parse
from gateway.encode.templated import DevicePlan, JsonPart, TemplatedJson

__all__ = [
    "MESSAGE",
    "MILLISECOND",
    "PRESETS",
    "READING",
    "RECORD",
    "BlockJson",
    "DevicePlan",
    "JsonPart",
    "RecordHash",
    "Template",
    "TemplateError",
    "TemplatedJson",
    "are_of",
    "clock_json",
    "clock_members",
    "exact_json",
    "exact_text",
    "parse",
    "preset",
]
