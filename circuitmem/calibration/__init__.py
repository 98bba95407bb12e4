"""Calibration methods, one file each: what is learnt from measured codes, and what that costs."""

from collections.abc import Sequence

from circuitmem.calibration.affine import AffineCalibration, fit_affine
from circuitmem.calibration.batch_norm import BatchNormCalibration
from circuitmem.calibration.conversion import Conversion
from circuitmem.calibration.defect_subtract import DefectSubtraction
from circuitmem.calibration.global_scale import GlobalScaleCalibration
from circuitmem.calibration.joined import JoinedCalibration
from circuitmem.calibration.method import Calibration
from circuitmem.calibration.none import NoCalibration
from circuitmem.calibration.offset import OffsetCalibration
from circuitmem.calibration.one_hot import COARSE_FROM, find_stuck, read_conductances
from circuitmem.calibration.out_of_range import OutOfRangeCalibration
from circuitmem.calibration.record import CalibrationRecord, calibrate_layer, mac_error
from circuitmem.calibration.redundant_column import RedundantColumns
from circuitmem.calibration.refresh import Refresh, refresh_periodically
from circuitmem.calibration.split_affine import SplitAffineCalibration
from circuitmem.calibration.still import still_error
from circuitmem.calibration.watch import Check, DriftWatch
from circuitmem.config import CalibrationSpec

__all__ = [
    "CALIBRATIONS",
    "COARSE_FROM",
    "Calibration",
    "CalibrationRecord",
    "Check",
    "DriftWatch",
    "Refresh",
    "calibrate_layer",
    "calibration_of",
    "find_stuck",
    "fit_affine",
    "mac_error",
    "read_conductances",
    "refresh_periodically",
    "still_error",
]

CALIBRATIONS: dict[str, type[Calibration]] = {
    method.name: method
    for method in (
        NoCalibration,
        OffsetCalibration,
        AffineCalibration,
        SplitAffineCalibration,
        DefectSubtraction,
        OutOfRangeCalibration,
        GlobalScaleCalibration,
        Conversion,
        RedundantColumns,
        BatchNormCalibration,
    )
}
"""By the name that ``calibration.method`` has."""


def calibration_of(methods: Sequence[str], spec: CalibrationSpec) -> Calibration:
    """Return the calibration of these names, which learn one after another.

    Parameters
    ----------
    methods : sequence of str
        Keys of ``CALIBRATIONS``.
    spec : CalibrationSpec
        Their numbers.
    """
    found = [CALIBRATIONS[name] for name in methods]
    return found[0](spec) if len(found) == 1 else JoinedCalibration(spec, found)
