"""Tables: no number is cut in the 80 columns of a pipe."""

from pathlib import Path

import pytest

from circuitmem.console import print_results

AUDIT = {
    "reads": 16,
    "pulse_trains": 4,
    "largest_relative_error": 3.4e-13,
    "skipped_reason": None,
    "failures": [],
    "limit": 1e-6,
    "confidence": 0.95,
    "of_operations": 23_456,
    "fraction_bound": 0.37,
    "files": ["audit_raw_tile3_7_read.npz"],
    "methods": {
        name: {"largest_relative_error": 2.1e-13} for name in ("raw", "calibration", "in_situ", "calibration_in_situ")
    },
}


def test_the_results_of_a_long_run_are_printed_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    methods = ("raw", "calibration", "in_situ", "calibration_in_situ")
    results = {
        "accuracy_percent": dict.fromkeys(("digital", *methods), 100.0),
        "simulated_time_s": dict.fromkeys(methods, 98.76543),
        "energy_j": dict.fromkeys(methods, 9.876543),
        "pulses": dict.fromkeys(methods, 123_456_789),
        "calibration_and_in_situ_against_in_situ": {
            "equal_epochs_points": 1.0,
            "equal_pulses_points": -1.0,
            "equal_pulses": 1e6,
        },
        "calibration": {
            "raw": {"reads_per_product": 1, "digital_products": 0, "products": 800},
            "calibration": {"reads_per_product": 4, "digital_products": 114, "products": 800},
        },
        "product_errors": {
            "raw": {"before": [{"rmse": 0.25}]},
            "calibration": {"before": [{"rmse": 0.25}, {"rmse": 0.5}], "after": [{"rmse": 0.03}, {"rmse": 0.0456}]},
            "in_situ": {},
        },
        "saturated_codes": {"raw": {"adc": 1234, "dac": 5}, "in_situ": {"adc": 0, "dac": 0}},
        "audit": AUDIT,
    }
    print_results(results, Path("run"), [])
    printed = capsys.readouterr().out
    assert "…" not in printed
    for text in ("calibration + in-situ", "simulated time", "98765.43 ms", "9876.543 mJ", "123,456,789"):
        assert text in printed
    assert "saturated codes, of ADCs / of DACs: raw defective chip 1,234 / 5\n" in printed
    assert printed.count("100.00 %, 2e-13") == 4
    assert "reads a product: 4\n" in printed  # folded into blocks: these numbers need more than 80 columns
    assert "digital products: 14.2 %\n" in printed
    assert (
        "error of products, rms, layer by layer: 25.00 %, 50.00 % before calibration, 3.00 %, 4.56 % after "
        "(calibration only)\n"
    ) in printed
    assert "16 reads, 4 pulse trains re-done in ngspice, all within 3.4e-13 of the largest current.\n" in printed
    assert "with 95% confidence at most 37% of the run's 23,456 operations differ by more than 1e-06" in printed
    assert "beyond the limit of 1e-06: circuitmem replay run/audit_raw_tile3_7_read.npz" in printed


def test_methods_are_called_as_on_the_page_and_many_layers_are_not_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # in a narrow terminal words are wrapped
    once = {"two_steps": 1}
    layers = [{"rmse": 0.01 * k} for k in range(1, 23)]
    results = {
        "accuracy_percent": {"digital": 90.0} | once, "simulated_time_s": once, "energy_j": once, "pulses": once,
        "audit": AUDIT, "calibration_and_in_situ_against_in_situ": None,
        "product_errors": {"two_steps": {"before": layers, "after": layers[:2]}},
    }  # fmt: skip
    print_results(results, Path("run"), [])
    printed = capsys.readouterr().out
    assert printed.count("two steps") == 2
    assert "digital network" in printed
    assert "1.00 % to 22.00 % (22 layers) before calibration, 1.00 %, 2.00 % after (two steps)" in printed


def test_a_run_without_an_audit_says_why(capsys):
    results = {
        "accuracy_percent": {"raw": 12.5},
        "simulated_time_s": {"raw": 1.0},
        "energy_j": {"raw": 1.0},
        "pulses": {"raw": 1},
        "calibration_and_in_situ_against_in_situ": dict.fromkeys(
            ("equal_epochs_points", "equal_pulses_points", "equal_pulses"), 1.0
        ),
        "audit": {"reads": 0, "skipped_reason": "libngspice cannot be loaded", "failures": [], "fraction_bound": None},
    }
    print_results(results, Path("run"), [])
    assert "not audited: libngspice cannot be loaded" in capsys.readouterr().out


@pytest.mark.parametrize(("points", "said"), [(None, False), (0.5, True)])
def test_equal_pulses_are_named_only_where_both_methods_were_measured(capsys, points, said):
    gain = {"equal_epochs_points": 1.0, "equal_pulses_points": points, "equal_pulses": 1e6}
    once = dict.fromkeys(("in_situ", "calibration_in_situ"), 1)
    results = {
        "accuracy_percent": once, "simulated_time_s": once, "energy_j": once, "pulses": once, "audit": AUDIT,
        "calibration_and_in_situ_against_in_situ": gain,
    }  # fmt: skip
    print_results(results, Path("run"), [])
    printed = capsys.readouterr().out
    assert "+1.00 points at equal epochs" in printed
    assert ("at equal pulses" in printed) is said


@pytest.mark.parametrize(
    ("times", "energies", "shown"),
    [
        ((0.82e-3, 0.27625), (0.153e-3, 10.158e-3), ("0.82 ms", "276.25 ms", "0.153 mJ", "10.158 mJ")),
        ((4.5e-6, 0.25e-3), (5.4e-7, 1.23e-6), ("4.50 us", "250.00 us", "0.540 uJ", "1.230 uJ")),
        ((0.0, 3e-9), (0.0, 2e-10), ("0.00 ns", "3.00 ns", "0.000 nJ", "0.200 nJ")),
        ((0.0, 0.0), (0.0, 4e-14), ("0.00 ms", "0.00 ms", "0.000 pJ", "0.040 pJ")),
    ],
)
def test_small_times_and_energies_keep_their_digits_in_one_unit_a_column(capsys, times, energies, shown):
    names = "in_situ", "calibration_in_situ"
    results = {
        "accuracy_percent": dict.fromkeys(names, 1.0), "simulated_time_s": dict(zip(names, times, strict=True)),
        "energy_j": dict(zip(names, energies, strict=True)), "pulses": dict.fromkeys(names, 5), "audit": AUDIT,
        "calibration_and_in_situ_against_in_situ": {
            "equal_epochs_points": 1.0, "equal_pulses_points": 23.33, "equal_pulses": 1915.0
        },
    }  # fmt: skip
    print_results(results, Path("run"), [])
    printed = capsys.readouterr().out
    for text in shown:
        assert f" {text} " in printed
    assert "+23.33 at equal pulses (1,915)\n" in printed
