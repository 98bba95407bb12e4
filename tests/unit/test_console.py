"""Tables: no number is cut in the 80 columns of a pipe."""

from pathlib import Path

from circuitmem.console import print_results


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
        "saturated_codes": {"raw": {"adc": 1234, "dac": 5}, "in_situ": {"adc": 0, "dac": 0}},
        "audit": {"reads": 0, "skipped_reason": None, "failures": []},
    }
    print_results(results, Path("run"), [])
    printed = capsys.readouterr().out
    assert "…" not in printed
    for text in ("calibration + in-situ", "simulated time", "98765.43 ms", "9876.543 mJ", "123,456,789"):
        assert text in printed
    assert "saturated codes, of ADCs / of DACs: raw defective chip 1,234 / 5\n" in printed
