"""Calibration methods, one file each: what is learnt from measured codes, and what that costs."""

from circuitmem.calibration.affine import AffineCalibration, fit_affine
from circuitmem.calibration.batch_norm import BatchNormCalibration
from circuitmem.calibration.conversion import Conversion
from circuitmem.calibration.defect_subtract import DefectSubtraction
from circuitmem.calibration.global_scale import GlobalScaleCalibration
from circuitmem.calibration.method import Calibration
from circuitmem.calibration.none import NoCalibration
from circuitmem.calibration.offset import OffsetCalibration
from circuitmem.calibration.one_hot import find_stuck, read_conductances
from circuitmem.calibration.record import CalibrationRecord, calibrate_layer, mac_error
from circuitmem.calibration.redundant_column import RedundantColumns
from circuitmem.calibration.refresh import Refresh, refresh_periodically
from circuitmem.calibration.split_affine import SplitAffineCalibration
from circuitmem.calibration.watch import Check, DriftWatch

__all__ = [
    "CALIBRATIONS",
    "Calibration",
    "CalibrationRecord",
    "Check",
    "DriftWatch",
    "Refresh",
    "calibrate_layer",
    "find_stuck",
    "fit_affine",
    "mac_error",
    "read_conductances",
    "refresh_periodically",
]

CALIBRATIONS: dict[str, type[Calibration]] = {
    method.name: method
    for method in (
        NoCalibration,
        OffsetCalibration,
        AffineCalibration,
        SplitAffineCalibration,
        DefectSubtraction,
        GlobalScaleCalibration,
        Conversion,
        RedundantColumns,
        BatchNormCalibration,
    )
}
"""By the name that ``calibration.method`` has."""
