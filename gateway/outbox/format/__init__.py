"""What stands on disk, byte for byte (docs/format.md), and how it is read back.

    segment.py     a file of records; `frames.py`: the frame of one; `scanning.py`, `record_reading.py`: both back
    dictionary.py  which tag a number means; `contexts.py`: what a device worked for
    identity.py    who a log is, and which numbers it gave out
    summary.py     what a chart needs of a segment, in a file beside it
    cursor.py      how far a sink has come, as sets of numbers (`core/intervals.py`)

Knows nothing of threads, queues or sinks' links.
"""

from gateway.core.intervals import IntervalSet
from gateway.outbox.format.bodies import body_of, encoded
from gateway.outbox.format.clock_correction import ClockCorrections, read_synced, synced_path
from gateway.outbox.format.contexts import UNKNOWN, ContextFrame, Contexts, read_work
from gateway.outbox.format.cursor import LaneCursor, cursor_path, dump_cursor, read_cursor, sink_of
from gateway.outbox.format.dead_letter import LETTER_AT_MOST, Letter, dump_letter, file_name, load_letter
from gateway.outbox.format.definition import Definition, define, read_context, read_definition, unpacked
from gateway.outbox.format.dictionary import DICTIONARY_AT_MOST, Dictionary
from gateway.outbox.format.frames import (
    CONTEXT,
    DEFINITION,
    FARTHEST,
    FOOTER,
    HEAD_SIZE,
    JSON,
    MAGIC_BYTES,
    PAYLOAD_AT_MOST,
    ROWS_AT_MOST,
    FrameHeader,
    Stamp,
    frame,
    is_record,
    peek,
    scan,
)
from gateway.outbox.format.identity import (
    LOG_ID,
    SLOT_SIZE,
    Numbers,
    NumbersFile,
    SetAside,
    all_set_aside,
    boot_number,
    identify,
    read_identity,
    read_numbers,
)
from gateway.outbox.format.record_reading import Gap, Span, Stored, read_body, read_record, read_records
from gateway.outbox.format.scanning import SEGMENT_AT_MOST, definitions_of, read_frames
from gateway.outbox.format.segment import (
    HEADER_SIZE,
    INDEX_STEP,
    PLAIN,
    TRAILER_MAGIC,
    TRAILER_SIZE,
    WITH_CONTEXTS,
    Segment,
    files_status,
    footer,
    header,
    read_footer,
    read_header,
)
from gateway.outbox.format.summary import (
    CHUNK,
    FRAMES,
    POINT_SIZE,
    DevicePart,
    DeviceSummary,
    Points,
    Summary,
    dump_summary,
    summary_sizes,
)

__all__ = [
    "CHUNK",
    "CONTEXT",
    "DEFINITION",
    "DICTIONARY_AT_MOST",
    "FARTHEST",
    "FOOTER",
    "FRAMES",
    "HEADER_SIZE",
    "HEAD_SIZE",
    "INDEX_STEP",
    "JSON",
    "LETTER_AT_MOST",
    "LOG_ID",
    "MAGIC_BYTES",
    "PAYLOAD_AT_MOST",
    "PLAIN",
    "POINT_SIZE",
    "ROWS_AT_MOST",
    "SEGMENT_AT_MOST",
    "SLOT_SIZE",
    "TRAILER_MAGIC",
    "TRAILER_SIZE",
    "UNKNOWN",
    "WITH_CONTEXTS",
    "ClockCorrections",
    "ContextFrame",
    "Contexts",
    "Definition",
    "DevicePart",
    "DeviceSummary",
    "Dictionary",
    "FrameHeader",
    "Gap",
    "IntervalSet",
    "LaneCursor",
    "Letter",
    "Numbers",
    "NumbersFile",
    "Points",
    "Segment",
    "SetAside",
    "Span",
    "Stamp",
    "Stored",
    "Summary",
    "all_set_aside",
    "body_of",
    "boot_number",
    "cursor_path",
    "define",
    "definitions_of",
    "dump_cursor",
    "dump_letter",
    "dump_summary",
    "encoded",
    "file_name",
    "files_status",
    "footer",
    "frame",
    "header",
    "identify",
    "is_record",
    "load_letter",
    "peek",
    "read_body",
    "read_context",
    "read_cursor",
    "read_definition",
    "read_footer",
    "read_frames",
    "read_header",
    "read_identity",
    "read_numbers",
    "read_record",
    "read_records",
    "read_synced",
    "read_work",
    "scan",
    "sink_of",
    "summary_sizes",
    "synced_path",
    "unpacked",
]
