"""What stands in Sparkplug payloads: the one place that knows protobuf, and the version of the specification."""

from .datatypes import SCALARS, DataType, datatype_for, fits, value_of
from .version_3 import (
    GOOD,
    MILLISECOND,
    NAMESPACE,
    Births,
    Layout,
    Metric,
    Property,
    Sample,
    parsed,
    payload,
    quality_of,
    statement,
)

__all__ = [
    "GOOD",
    "MILLISECOND",
    "NAMESPACE",
    "SCALARS",
    "Births",
    "DataType",
    "Layout",
    "Metric",
    "Property",
    "Sample",
    "datatype_for",
    "fits",
    "parsed",
    "payload",
    "quality_of",
    "statement",
    "value_of",
]
