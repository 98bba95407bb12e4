"""The one reader of what runs, studies and validations leave behind: typed, versioned; an error names file and key.

JSON files carry ``format``. A file without one is of a version that wrote none and is read as the first; a file of a
later format is refused. Keys that are not declared here pass: later versions may add some. See ``docs/files.md``.
"""

from circuitmem.records.reading import (
    EX_SITU_ARRAYS,
    FORMAT,
    STATE_ARRAYS,
    Record,
    Shape,
    check_record,
    read_arrays,
    read_config,
    read_record,
    record_text,
    write_record,
)
from circuitmem.records.runs import Begun, DataRecord, Digital, Method, Partial, Provenance, Results, Weights
from circuitmem.records.studies import Point, StudyProvenance, Tuned, Validation

__all__ = [
    "EX_SITU_ARRAYS", "FORMAT", "STATE_ARRAYS", "Begun", "DataRecord", "Digital", "Method", "Partial", "Point",
    "Provenance", "Record", "Results", "Shape", "StudyProvenance", "Tuned", "Validation", "Weights", "check_record",
    "read_arrays", "read_config", "read_record", "record_text", "write_record",
]  # fmt: skip
