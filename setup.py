"""Extensions and the mapping of folders to packages; everything else is in pyproject.toml.

Each kernel is compiled for several instruction sets from one source, and the best one that the machine can run
is chosen at import (``circuitmem._kernels``): a wheel runs anywhere, and still uses the widest vectors that there are.
A machine without a C compiler gets the NumPy reference kernels instead: the extensions are optional.
"""

from __future__ import annotations

import os
import platform
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

ROOT = Path(__file__).parent
FOLDER = ROOT / "cython_ext"
OURS = ROOT / "circuitmem" / "_kernels"
DECLARED = runpy.run_path(str(OURS / "variants.py"))
SANITIZE = os.environ.get("CIRCUITMEM_SANITIZE")
# What threads do is the same for every instruction set, so ThreadSanitizer needs but one.
HAS_LEVELS = platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "win32" and SANITIZE != "thread"
LEVELS = DECLARED["LEVELS"] if HAS_LEVELS else DECLARED["LEVELS"][:1]


def has_openmp() -> bool:
    """Say whether the C compiler builds and links OpenMP programs."""
    from setuptools._distutils.ccompiler import new_compiler
    from setuptools._distutils.errors import CompileError, LinkError
    from setuptools._distutils.sysconfig import customize_compiler

    compiler = new_compiler()
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        try:
            objects = compiler.compile([str(source)], output_dir=folder, extra_postargs=["-fopenmp"])
            compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=["-fopenmp"])
        except (CompileError, LinkError):
            return False
    return True


def extensions() -> list[Extension]:
    """One extension a kernel and instruction set; a variant is built from a renamed copy of the source."""
    windows = sys.platform == "win32"
    # -fno-math-errno and -fno-trapping-math let loops vectorise; -ffast-math would break NaN and infinity.
    flags = ["/O2"] if windows else ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
    openmp = [] if windows or not has_openmp() else ["-fopenmp"]
    extra = [f"-fsanitize={SANITIZE}", "-g", "-O1"] if SANITIZE else []
    sources = runpy.run_path(str(OURS / "sources.py"))["digest"](FOLDER)
    # One module, which compiles in no time, tells what all of them were compiled from. The x makes a name of it.
    cpu = extension("_cpu", FOLDER / "simd" / "cpu.pyx", [*flags, *extra], [*extra])
    cpu.define_macros.append(("CIRCUITMEM_SOURCES", f"x{sources}"))
    cpu.depends = [str(file) for file in sorted(FOLDER.rglob("*.p*"))]
    found = [cpu]
    for kernel, folder in DECLARED["KERNELS"].items():
        # The bits of this one are those of its NumPy twin.
        apart = ["-ffp-contract=off"] if kernel == "backward" and not windows else []
        source = FOLDER / folder / f"{kernel}.pyx"
        for level in LEVELS:
            name, path = f"_{kernel}{level.suffix}", source
            if level.suffix:
                path = ROOT / "build" / "variants" / f"{name}.pyx"
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists() or path.read_bytes() != source.read_bytes():
                    shutil.copyfile(source, path)
            words = [*flags, *apart, *level.flags, *openmp, *extra]
            found.append(extension(name, path, words, [*openmp, *extra]))
    return found


def extension(name: str, source: Path, compiling: list[str], linking: list[str]) -> Extension:
    """Return the extension ``circuitmem._kernels.name``, which is left out where nothing compiles it."""
    return Extension(
        f"circuitmem._kernels.{name}",
        [str(source.relative_to(ROOT))],
        include_dirs=[np.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=compiling,
        extra_link_args=linking,
        optional=True,
    )


os.chdir(ROOT)
setup(
    packages=[*find_packages(include=["circuitmem*"]), "circuitmem.netlists", "circuitmem.netlists.vacask"],
    package_dir={"circuitmem.netlists": "netlists"},
    include_package_data=False,  # only what is named here, or presets/ would be taken for a package without code
    package_data={
        "circuitmem": ["py.typed"],
        "circuitmem.netlists": ["models/*.lib"],
        "circuitmem.netlists.vacask": ["models/*.va"],
        "circuitmem.config": ["presets/*.toml"],
        "circuitmem.data": ["*.npz", "*.csv", "*.txt"],
        "circuitmem.report": ["templates/*"],
    },
    options={"build_ext": {"parallel": os.cpu_count()}},
    ext_modules=cythonize(
        extensions(),
        language_level=3,
        include_path=["cython_ext"],
        # Elsewhere new processes would run this file again.
        nthreads=(os.cpu_count() or 1) if sys.platform == "linux" else 0,
        compiler_directives={"boundscheck": False, "wraparound": False, "cdivision": True, "initializedcheck": False},
    ),
)
