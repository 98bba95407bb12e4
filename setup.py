"""Extensions and the mapping of folders to packages; everything else is in pyproject.toml.

Each kernel is compiled for several instruction sets from one source, and the best one that the machine can run
is chosen at import (``circuitmem._kernels``): a wheel runs anywhere, and still uses AVX-512 where there is any.
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
KERNELS = (
    "_backward",
    "_cpu",
    "_devices",
    "_layers",
    "_mesh",
    "_programming",
    "_pulses",
    "_reads",
    "_switching",
    "_tree",
)
VARIANTS: dict[str, list[str]] = {"": []}
SANITIZE = os.environ.get("CIRCUITMEM_SANITIZE")
# What threads do is the same for every instruction set, so ThreadSanitizer needs but one.
if platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "win32" and SANITIZE != "thread":
    VARIANTS["_v3"] = ["-march=x86-64-v3"]
    VARIANTS["_v4"] = ["-march=x86-64-v4", "-mprefer-vector-width=512"]


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
    found = []
    folder = ROOT / "cython_ext"
    sources = runpy.run_path(str(ROOT / "circuitmem" / "_kernels" / "sources.py"))["digest"](folder)
    for kernel in KERNELS:
        # The bits of this one are those of its NumPy twin.
        apart = ["-ffp-contract=off"] if kernel == "_backward" and not windows else []
        source = folder / f"{kernel}.pyx"
        # One kernel, which compiles in no time, tells what all of them were compiled from. The x makes a name of it.
        macros = [("CIRCUITMEM_SOURCES", f"x{sources}")] if kernel == "_cpu" else []
        for suffix, march in VARIANTS.items() if kernel != "_cpu" else [("", [])]:
            name = kernel + suffix
            path = source.relative_to(ROOT)
            if suffix:
                path = Path("build", "variants", f"{name}.pyx")
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists() or path.read_bytes() != source.read_bytes():
                    shutil.copyfile(source, path)
            found.append(
                Extension(
                    f"circuitmem._kernels.{name}",
                    [str(path)],
                    include_dirs=[np.get_include()],
                    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"), *macros],
                    depends=[str(file) for file in sorted(folder.glob("*.p*"))] if kernel == "_cpu" else [],
                    extra_compile_args=flags + apart + march + openmp + extra,
                    extra_link_args=openmp + extra,
                    optional=True,
                )
            )
    return found


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
