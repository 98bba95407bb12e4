"""Calibration methods, one file each: each learns a correction from measured codes and counts its cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitmem.calibration.affine import Affine, fit_affine
from circuitmem.calibration.batch_norm import BatchNorm
from circuitmem.calibration.conversion import Conversion
from circuitmem.calibration.defect_subtract import DefectSubtraction
from circuitmem.calibration.global_scale import GlobalScale
from circuitmem.calibration.joined import JoinedCalibration
from circuitmem.calibration.method import Calibration, Products, measure_products
from circuitmem.calibration.none import NoCalibration
from circuitmem.calibration.offset import Offset
from circuitmem.calibration.one_hot import COARSE_FROM, find_stuck, read_conductances
from circuitmem.calibration.out_of_range import OutOfRange
from circuitmem.calibration.record import CalibrationRecord, calibrate_layer, mac_error
from circuitmem.calibration.redundant_column import RedundantColumns
from circuitmem.calibration.refresh import Refresh, refresh, refresh_periodically
from circuitmem.calibration.split_affine import SplitAffine
from circuitmem.calibration.still import still_error, still_products
from circuitmem.calibration.watch import DriftCheck, DriftWatch
from circuitmem.config import CalibrationSpec
from circuitmem.deprecation import renamed
from circuitmem.registry import find

__all__ = [
    "COARSE_FROM",
    "Affine",
    "BatchNorm",
    "Calibration",
    "CalibrationRecord",
    "Conversion",
    "DefectSubtraction",
    "DriftCheck",
    "DriftWatch",
    "GlobalScale",
    "NoCalibration",
    "Offset",
    "OutOfRange",
    "Products",
    "RedundantColumns",
    "Refresh",
    "SplitAffine",
    "calibrate_layer",
    "calibration_of",
    "find_stuck",
    "fit_affine",
    "mac_error",
    "measure_products",
    "read_conductances",
    "refresh",
    "refresh_periodically",
    "still_error",
    "still_products",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__, {"Check": "DriftCheck"}, "0.4.0")


def calibration_of(methods: Sequence[str], spec: CalibrationSpec) -> Calibration:
    """Return the calibration with these names; if there are several, they learn one after another.

    Parameters
    ----------
    methods : sequence of str
        Names that :mod:`circuitmem.registry` knows, or ``"package.module:Name"``.
    spec : CalibrationSpec
        Settings of the methods.
    """
    found: list[type[Calibration]] = [find("calibrations", name, "calibration.method") for name in methods]
    return found[0](spec) if len(found) == 1 else JoinedCalibration(spec, found)
