"""The reader of the files that runs, studies and validations write: typed, versioned; errors name file and key.

JSON files carry ``format``. A file without it was written before formats were counted and is read as format 1; a file
of a later format is refused. Undeclared keys are accepted, because later versions may add some. See ``docs/files.md``.
"""

from typing import TYPE_CHECKING

from circuitmem.deprecation import renamed
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
from circuitmem.records.runs import Begun, DataRecord, Digital, MethodRecord, Partial, Provenance, Results, Weights
from circuitmem.records.studies import PointRecord, StudyProvenance, Tuned, Validation

__all__ = [
    "EX_SITU_ARRAYS", "FORMAT", "STATE_ARRAYS", "Begun", "DataRecord", "Digital", "MethodRecord", "Partial",
    "PointRecord", "Provenance", "Record", "Results", "Shape", "StudyProvenance", "Tuned", "Validation", "Weights",
    "check_record", "read_arrays", "read_config", "read_record", "record_text", "write_record",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__, {"Method": "MethodRecord", "Point": "PointRecord"}, "0.4.0")
