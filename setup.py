"""Compile the hot path: every module with a `.pxd` beside it.

Compiling is optional by design. Without Cython or a C compiler, or with LEVERET_PURE=1, the same `.py` files are
installed and run as they are.
"""

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("broker")
DIRECTIVES = {
    "language_level": 3,
    "cdivision": True,
    "initializedcheck": False,
}


def compiled_modules() -> list[Extension]:
    if os.environ.get("LEVERET_PURE") == "1":
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    modules = [
        Extension(".".join(pxd.relative_to(SOURCE).with_suffix("").parts), [str(pxd.with_suffix(".py"))])
        for pxd in sorted(SOURCE.rglob("*.pxd"))
        if pxd.with_suffix(".py").exists()
    ]
    for module in modules:
        module.extra_compile_args = ["-O2", "-g0"] if os.name == "posix" else []
    return cythonize(
        modules,
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
        annotate=os.environ.get("LEVERET_ANNOTATE") == "1",
        build_dir="build/cython",
        include_path=[str(SOURCE)],
    )


class OptionalBuild(build_ext):
    """Compiles all of the hot path or none of it: compiled modules know the layout of each other's classes.

    A missing or broken C compiler leaves the modules uncompiled; it does not fail the installation.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            self.announce(f"leveret: the hot path is not compiled: {error}", level=3)
            for module in self.extensions:
                Path(self.get_ext_fullpath(module.name)).unlink(missing_ok=True)
            self.extensions = []


setup(ext_modules=compiled_modules(), cmdclass={"build_ext": OptionalBuild})
