"""Compile the hot path: every module with a `.pxd` beside it.

Compiling is optional. Without Cython or a C compiler, or with LEVERET_PURE=1, the same `.py` files are installed and
run as they are. What was compiled before is compiled again only if it has changed, or a `.pxd` that it uses; all of it
is if this file has changed. LEVERET_SANITIZE=1 compiles with AddressSanitizer and UndefinedBehaviorSanitizer
(`make fuzz`, in a directory of its own).
"""

import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from distutils.ccompiler import new_compiler
from distutils.sysconfig import customize_compiler
from pathlib import Path
from sysconfig import get_config_var
from tempfile import TemporaryDirectory
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("broker")
BUILD = Path("build/cython")

#: The file in the package that says why the hot path is not compiled (leveret/cli/serve.py). pip shows nothing of that.
REASON = Path("leveret/not_compiled.txt")

DIRECTIVES = {
    "language_level": 3,
    "cdivision": True,
    "initializedcheck": False,
    "auto_pickle": False,  # nothing is pickled, and the functions for it are a tenth of the code
    "emit_code_comments": False,
}

#: The module with what Cython would otherwise compile again into each of the others: a quarter of the time. It is made
#: by `cythonize`, without the features that no module uses.
SHARED = "leveret._cython"
UNUSED = ["MemoryView", "AutoPickle"]

#: Modules in which an attribute of None raises an exception when compiled too, instead of ending the process: data from
#: a disk may be missing.
CHECKED = ("leveret.queues.", "leveret.store.")

#: Where -O2 makes a message cheaper, by up to a tenth. The compiler takes twice as long for it.
HOTTEST = {
    "leveret.queues.consumers",
    "leveret.queues.message",
    "leveret.queues.queue",
    "leveret.routing.router",
    "leveret.session.channel",
    "leveret.session.confirms",
    "leveret.session.content",
    "leveret.session.reader",
    "leveret.session.subscription",
    "leveret.session.unacked",
    "leveret.wire.content",
    "leveret.wire.frames",
}

#: For the others: -O1 with what of -O2 costs the compiler nothing.
OPTIMIZED = ["-O1", "-finline-small-functions", "-fstrict-aliasing", "-foptimize-sibling-calls", "-g0"]

#: Undefined behaviour ends the process, as an invalid access does.
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]


class NoCompilerError(Exception):
    """There is no C compiler, or it does not find what Python's extension modules need."""


class ModuleError(Exception):
    """A module cannot be compiled."""


def modules() -> list[Extension]:
    """Return what is compiled, the largest first: at the end no core waits for the others."""
    if os.environ.get("LEVERET_PURE") == "1":
        return []
    sources = [pxd.with_suffix(".py") for pxd in SOURCE.rglob("*.pxd") if pxd.with_suffix(".py").exists()]
    named = {
        ".".join(source.relative_to(SOURCE).with_suffix("").parts): [str(source)]
        for source in sorted(sources, key=lambda path: (-path.stat().st_size, path))
    }
    return [
        Extension(name, found, extra_compile_args=optimization(name), extra_link_args=link_options())
        for name, found in {**named, SHARED: []}.items()
    ]


def optimization(module: str) -> list[str]:
    """Return the options of the compiler, after those of the interpreter."""
    if os.environ.get("LEVERET_SANITIZE") == "1":
        return [*SANITIZED, "-O1", "-g1"]
    if os.name != "posix":
        return []
    return ["-O2", "-g0"] if module in HOTTEST else OPTIMIZED


def link_options() -> list[str]:
    """Return the options of the linker."""
    return SANITIZED if os.environ.get("LEVERET_SANITIZE") == "1" else []


def older_than_this_file() -> bool:
    """Whether C files are missing, or were made before this file was changed."""
    changed = Path(__file__).stat().st_mtime
    made = list(BUILD.rglob("*.c"))
    return not made or any(path.stat().st_mtime < changed for path in made)


def compiled(tree: Path) -> list[Path]:
    """Return the compiled modules below a directory."""
    return list(tree.rglob(f"*{get_config_var('EXT_SUFFIX')}"))


def run_compiler(command: Sequence[str], **options: Any) -> None:
    """Run a compiler or linker and print what it says. Raises NoCompilerError with its first error."""
    try:
        done = subprocess.run(
            command,
            env=options.get("env"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise NoCompilerError(f"{command[0]}: {error.strerror}") from error
    if done.stdout:
        print(done.stdout, file=sys.stderr, flush=True)
    if done.returncode:
        lines = done.stdout.splitlines() or [f"{command[0]}: exit code {done.returncode}"]
        raise NoCompilerError(next((line for line in lines if "error" in line), lines[-1]).strip())


class HotPath(build_ext):
    """Compiles all of the hot path or none of it: compiled modules know the layout of each other's classes.

    An installation does not fail without a C compiler, or if a module cannot be compiled; the reason is in the package.
    In the source tree a module that cannot be compiled is an error.
    """

    built = 0  # modules
    failed = False

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        if not self.extensions:
            return
        inplace, tree = self.inplace, SOURCE if self.inplace else Path(self.build_lib)
        (tree / REASON).unlink(missing_ok=True)
        if inplace:
            self.remove(
                compiled(SOURCE)
            )  # they are copied back at the end: none is beside a newer source meanwhile
        try:
            self.check_compiler()
            self.translate()
            super().run()
        except (NoCompilerError, ModuleError) as error:
            self.give_up(tree, str(error))
            if inplace and isinstance(error, ModuleError):
                sys.exit(1)
        else:
            ours = {Path(self.build_lib, self.get_ext_filename(module.name)) for module in self.extensions}
            self.remove([path for path in compiled(Path(self.build_lib)) if path not in ours])

    def give_up(self, tree: Path, reason: str) -> None:
        """Leave nothing compiled, say so, and keep the reason."""
        self.extensions = []
        self.remove(compiled(tree))
        (tree / REASON).parent.mkdir(parents=True, exist_ok=True)
        (tree / REASON).write_text(reason + "\n")
        print(f"leveret: THE HOT PATH IS NOT COMPILED. {reason}", file=sys.stderr, flush=True)

    @staticmethod
    def remove(paths: Sequence[Path]) -> None:
        for path in paths:
            path.unlink()

    def check_compiler(self) -> None:
        """Raise NoCompilerError unless C that includes Python's headers can be compiled."""
        compiler = new_compiler()
        customize_compiler(compiler)
        self.capture(compiler)
        with TemporaryDirectory() as folder:
            probe = Path(folder, "probe.c")
            probe.write_text("#include <Python.h>\n")
            compiler.compile([str(probe)], output_dir=folder, include_dirs=self.include_dirs)

    @staticmethod
    def capture(compiler: Any) -> None:
        """Have a compiler of setuptools run by `run_compiler`. Its versions have two names for that."""
        if os.name == "posix":
            compiler.spawn = compiler.call = run_compiler

    def translate(self) -> None:
        """Make C files of the modules that have changed. Raises ModuleError."""
        gc.set_threshold(
            50_000, 20, 20
        )  # Cython makes trees that live as long as it does: a sixth of its time
        force = older_than_this_file()
        for nonecheck in (True, False):
            chosen = [module for module in self.extensions if module.name.startswith(CHECKED) is nonecheck]
            for module, made in zip(chosen, self.translated(chosen, nonecheck, force), strict=True):
                module.sources = made.sources

    @staticmethod
    def translated(chosen: list[Extension], nonecheck: bool, force: bool) -> list[Extension]:
        try:
            from Cython.Build import cythonize
            from Cython.Compiler.Errors import CompileError
        except ImportError:
            raise NoCompilerError("Cython is not installed") from None
        try:
            return cythonize(
                chosen,
                compiler_directives=DIRECTIVES | {"nonecheck": nonecheck},
                nthreads=os.cpu_count() or 1,
                annotate=os.environ.get("LEVERET_ANNOTATE") == "1",
                build_dir=str(BUILD),
                include_path=[str(SOURCE)],
                shared_utility_qualified_name=SHARED,
                shared_utility_features_disabled=UNUSED,
                force=force,
            )
        except CompileError as error:
            raise ModuleError(f"Cython does not translate {error}") from error

    def build_extensions(self) -> None:
        self.capture(self.compiler)
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        """Compile one module, and say how many are done."""
        if self.failed:
            return
        try:
            super().build_extension(ext)
        except NoCompilerError as error:
            self.failed = True
            raise ModuleError(f"{ext.name}: {error}") from error
        self.built += 1
        print(f"[{self.built}/{len(self.extensions)}] compiled {ext.name}", file=sys.stderr, flush=True)


if __name__ == "__main__":  # not in the processes of cythonize, which import this file where there is no fork
    setup(ext_modules=modules(), cmdclass={"build_ext": HotPath})
