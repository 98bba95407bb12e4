"""The choice of a kernel's variant, and of the number of threads."""

import importlib
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

from circuitmem import doctor
from circuitmem._kernels import (
    _reference_tree,
    kernel_info,
    load_kernel,
    mesh,
    reference,
    select,
    sources,
    thread_count,
    tree,
)
from circuitmem._kernels.mesh import solve_mesh
from circuitmem._kernels.variants import KERNELS, LEVELS
from circuitmem.errors import ValidationError

PROGRAM = """
import numpy as np
from circuitmem._kernels.mesh import solve_mesh
rng = np.random.default_rng(0)
word, bit = np.full((41, 61), 1.0), np.full((42, 60), 1.0)
solution = solve_mesh(rng.uniform(1e-6, 1e-3, (41, 60)), word, bit, rng.uniform(-1, 1, (60, 41)))
print(solution.column_current.tobytes().hex())
"""
"""Enough work for several threads, of a size that is no multiple of a vector's."""


@pytest.mark.skipif(os.environ.get("CIRCUITMEM_KERNELS") == "reference", reason="the reference is what was asked for")
def test_every_kernel_runs_compiled():
    found = kernel_info()
    assert list(found) == list(KERNELS)
    assert [name for name, variant in found.items() if not variant.startswith("compiled")] == []
    assert mesh._solve is not reference.solve
    assert tree._transfer is not _reference_tree.transfer


def run(**environment):
    environment = {**os.environ, **environment}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return np.frombuffer(bytes.fromhex(result.stdout.strip()))


def compiled():
    """Return the names of the variants that were compiled and can run here."""
    available = importlib.import_module("circuitmem._kernels._cpu").level()
    return [
        level.name
        for level in LEVELS
        if level.needed <= available and importlib.util.find_spec(f"circuitmem._kernels._mesh{level.suffix}")
    ]


def test_every_variant_gives_the_same_answer_within_rounding():
    assert "baseline" in compiled()
    expected = run(CIRCUITMEM_KERNELS="reference")
    for name in compiled():
        np.testing.assert_allclose(
            run(CIRCUITMEM_KERNELS=name), expected, rtol=0.0, atol=1e-13 * np.abs(expected).max()
        )


def test_the_number_of_threads_does_not_change_a_bit():
    expected = run(CIRCUITMEM_THREADS="1")
    np.testing.assert_array_equal(run(CIRCUITMEM_THREADS="2"), expected)
    np.testing.assert_array_equal(run(CIRCUITMEM_THREADS="5", OMP_NUM_THREADS="1"), expected)


def test_the_best_variant_is_chosen_and_named(monkeypatch):
    monkeypatch.delenv("CIRCUITMEM_KERNELS", raising=False)
    assert load_kernel("mesh").name == compiled()[-1]
    assert kernel_info()["mesh"].startswith("compiled ")
    monkeypatch.setenv("CIRCUITMEM_KERNELS", "reference")
    assert load_kernel("mesh").module is None
    assert set(kernel_info().values()) == {"NumPy reference"}


@pytest.mark.skipif(os.environ.get("CIRCUITMEM_KERNELS") == "reference", reason="the reference is what was asked for")
def test_kernels_of_other_sources_are_warned_of(monkeypatch, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select.warn_of_old_kernels()
    monkeypatch.setattr(select.sources, "FOLDER", tmp_path)  # where the package is installed there are no sources
    monkeypatch.setattr(select.sources, "digest", lambda folder: "0" * 16)
    with pytest.warns(UserWarning, match=r"older than their sources .* compile them again"):
        select.warn_of_old_kernels()
    assert "python setup.py build_ext --inplace" in doctor.examine()["missing"].values()
    monkeypatch.setenv("CIRCUITMEM_KERNELS", "reference")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select.warn_of_old_kernels()


def test_kernels_that_were_not_compiled_beside_others_are_named(monkeypatch):
    monkeypatch.delenv("CIRCUITMEM_KERNELS", raising=False)
    found = select._import
    monkeypatch.setattr(select, "_import", lambda name: None if "_pulses" in name else found(name))
    with pytest.warns(UserWarning, match="stands in for them: pulses; compile them again"):
        select.warn_of_old_kernels()


def test_a_missing_extension_is_replaced_by_the_reference(monkeypatch):
    monkeypatch.delenv("CIRCUITMEM_KERNELS", raising=False)
    assert load_kernel("nothing") == (None, "reference")
    monkeypatch.setenv("CIRCUITMEM_KERNELS", "baseline")
    with pytest.raises(ValidationError, match="must name a variant that was compiled for kernel nothing"):
        load_kernel("nothing")


def test_a_broken_extension_is_an_error(monkeypatch):
    monkeypatch.delenv("CIRCUITMEM_KERNELS", raising=False)

    normal = importlib.import_module

    def broken(name):
        if "_mesh" in name:
            raise ModuleNotFoundError("No module named 'gone'", name="gone")
        return normal(name)

    monkeypatch.setattr(select.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="gone"):
        load_kernel("mesh")


def test_unknown_and_impossible_variants_are_refused(monkeypatch):
    monkeypatch.setenv("CIRCUITMEM_KERNELS", "referense")
    with pytest.raises(ValidationError, match=r"must be one of .*did you mean 'reference'"):
        load_kernel("mesh")
    monkeypatch.setenv("CIRCUITMEM_KERNELS", "v4")
    monkeypatch.setattr(select, "_processor_level", lambda: 3)
    with pytest.raises(ValidationError, match="instructions that this processor has"):
        load_kernel("mesh")


def test_the_number_of_threads(monkeypatch):
    for name in ("CIRCUITMEM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert 1 <= thread_count() <= os.cpu_count()
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert thread_count() == 3
    monkeypatch.setenv("CIRCUITMEM_THREADS", "5")
    assert thread_count() == 5
    assert thread_count(7) == 7


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_bad_numbers_of_threads_are_refused(monkeypatch, value):
    monkeypatch.setenv("CIRCUITMEM_THREADS", value)
    with pytest.raises(ValidationError, match=r"^CIRCUITMEM_THREADS must be"):
        thread_count()
    with pytest.raises(ValidationError, match=r"^threads must be"):
        thread_count(0)
    with pytest.raises(ValidationError, match=r"^threads must be"):
        solve_mesh(np.ones((1, 1)), np.ones((1, 2)), np.ones((2, 1)), np.ones((1, 1)), threads=1.5)


@pytest.mark.skipif(not sources.FOLDER.is_dir(), reason="only a checkout has the sources")
def test_every_source_is_declared_and_every_header_lies_in_a_folder_of_its_own_subject():
    found = {path.stem: path.parent.name for path in sources.FOLDER.rglob("*.pyx")}
    assert found == {**KERNELS, "cpu": "simd"}
    assert [path.name for path in sources.FOLDER.glob("*.p*")] == []


@pytest.mark.skipif(not sources.FOLDER.is_dir(), reason="only a checkout has the sources")
def test_no_other_place_names_an_instruction_set():
    """A new one is declared in one file, or asked for in the folder of vectors."""
    root = sources.FOLDER.parent
    names = re.compile(r"_v[34]\b|x86-64-v\d|avx\w*", re.IGNORECASE)
    searched = [root / "setup.py", *(root / "circuitmem").rglob("*.py"), *sources.FOLDER.rglob("*.p*")]
    said = {path for path in searched if names.search(path.read_text("utf-8"))}
    assert said
    assert [path for path in said if path.name != "variants.py" and path.parent.name != "simd"] == []


@pytest.mark.skipif(not sources.FOLDER.is_dir(), reason="only a checkout has the sources")
def test_no_two_structs_have_one_name():
    declared = r"(?:cdef|ctypedef) (?:packed )?(?:struct|union) (\w+):|typedef (?:struct|union) \{[^}]*\} (\w+);"
    places = {}
    for path in sorted(sources.FOLDER.rglob("*.p*")):
        for found in re.findall(declared, path.read_text("utf-8")):
            places.setdefault("".join(found), set()).add(path.name)
    assert {"Wires", "Tables", "Stack", "Layer"} <= set(places)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


@pytest.mark.skipif(not sources.FOLDER.is_dir(), reason="only a checkout has the sources")
def test_one_header_says_what_a_vector_is():
    """How wide it is, how its numbers change places, how squares are transposed."""
    for word in ("__builtin_shuffle", "define LANES", "define VECTOR_BYTES", "define DEFINE_TRANSPOSE"):
        having = [path.name for path in sources.FOLDER.rglob("*.p*") if word in path.read_text("utf-8")]
        assert having == ["vectors.pxd"], word


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ("PASSIVE", "5000")),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ("ACTIVE", "None")),
        ({"GOMP_SPINCOUNT": "7"}, ("PASSIVE", "7")),
    ],
)
def test_threads_soon_stop_spinning_and_what_the_user_set_holds_before_any_library_is_loaded(given, found):
    names = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
    program = f"import os, sys, circuitmem; print(*map(os.environ.get, {names}), 'numpy' in sys.modules)"
    environment = {key: value for key, value in os.environ.items() if key not in names} | given
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == [*found, "False"]
