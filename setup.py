"""Compile the corridor: every module with a `.pxd` beside it.

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


def corridor() -> list[Extension]:
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
        module.optional = True
    return cythonize(
        modules,
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
        annotate=os.environ.get("LEVERET_ANNOTATE") == "1",
        build_dir="build/cython",
        include_path=[str(SOURCE)],
    )


class OptionalBuild(build_ext):
    """A missing or broken C compiler leaves the modules uncompiled; it does not fail the installation."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            self.announce(f"leveret: the corridor stays uncompiled: {error}", level=3)


setup(ext_modules=corridor(), cmdclass={"build_ext": OptionalBuild})
