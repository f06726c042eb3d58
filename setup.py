"""Compile the hot path: every module with a `.pxd` beside it.

Compiling is optional by design. Without Cython or a C compiler, or with LEVERET_PURE=1, the same `.py` files are
installed and run as they are. What was compiled before is compiled again only if it has changed, or a `.pxd` that it
uses; all of it is if this file has changed. LEVERET_SANITIZE=1 compiles with AddressSanitizer and UndefinedBehavior-
Sanitizer (`make fuzz`, in a directory of its own).
"""

import os
from pathlib import Path
from sysconfig import get_config_var

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("broker")
BUILD = Path("build/cython")
DIRECTIVES = {
    "language_level": 3,
    "cdivision": True,
    "initializedcheck": False,
}

#: Modules in which an attribute of None raises an exception when compiled too, instead of ending the process: data from
#: a disk may be missing.
CHECKED = ("leveret.queues.", "leveret.store.")

#: Undefined behaviour ends the process, as an invalid access does.
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]


def compiled_modules() -> list[Extension]:
    if os.environ.get("LEVERET_PURE") == "1":
        return []
    try:
        import Cython  # noqa: F401  there or not
    except ImportError:
        return []
    modules = [
        Extension(".".join(pxd.relative_to(SOURCE).with_suffix("").parts), [str(pxd.with_suffix(".py"))])
        for pxd in sorted(SOURCE.rglob("*.pxd"))
        if pxd.with_suffix(".py").exists()
    ]
    sanitize = os.environ.get("LEVERET_SANITIZE") == "1"
    for module in modules:
        if sanitize:
            module.extra_compile_args, module.extra_link_args = [*SANITIZED, "-O1", "-g1"], SANITIZED
        elif os.name == "posix":
            module.extra_compile_args = ["-O2", "-g0"]
    checked = [module for module in modules if module.name.startswith(CHECKED)]
    others = [module for module in modules if not module.name.startswith(CHECKED)]
    return [*_compiled(checked, nonecheck=True), *_compiled(others, nonecheck=False)]


def _compiled(modules: list[Extension], nonecheck: bool) -> list[Extension]:
    from Cython.Build import cythonize

    return cythonize(
        modules,
        compiler_directives=DIRECTIVES | {"nonecheck": nonecheck},
        nthreads=os.cpu_count() or 1,
        annotate=os.environ.get("LEVERET_ANNOTATE") == "1",
        build_dir=str(BUILD),
        include_path=[str(SOURCE)],
        force=older_than_this_file(),
    )


def older_than_this_file() -> bool:
    """Whether C files were made before this file was changed."""
    changed = Path(__file__).stat().st_mtime
    return any(made.stat().st_mtime < changed for made in BUILD.rglob("*.c"))


class OptionalBuild(build_ext):
    """Compiles all of the hot path or none of it: compiled modules know the layout of each other's classes.

    A missing or broken C compiler leaves the modules uncompiled; it does not fail the installation.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        inplace = self.inplace
        try:
            super().run()
        except Exception as error:
            self.warn(f"leveret: the hot path is not compiled: {error}")
            self.inplace = False
            for module in self.extensions:
                Path(self.get_ext_fullpath(module.name)).unlink(missing_ok=True)
            self.extensions = []
        if inplace:
            self.remove_others()

    def remove_others(self) -> None:
        """Remove compiled modules from the source tree that are not compiled any more: Python would prefer them."""
        self.inplace = True
        ours = {Path(self.get_ext_fullpath(module.name)).resolve() for module in self.extensions}
        for found in SOURCE.rglob(f"*{get_config_var('EXT_SUFFIX')}"):
            if found.resolve() not in ours:
                found.unlink()


setup(ext_modules=compiled_modules(), cmdclass={"build_ext": OptionalBuild})
