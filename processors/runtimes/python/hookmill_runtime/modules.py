"""What a function may import beside the standard library: helper modules beside it, and installed packages."""

import linecache
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

_BYTE_ORDER_MARK: Final = "\ufeff"
_OURS: Final = frozenset({"function", "segment", "hookmill_runtime"})


class HelperModules:
    """A finder and loader (importlib's protocols) of modules whose text came with the function.

    `files` is text by path: `helpers.py` is `helpers`, `shared/money.py` is `shared.money`; a folder is a package, with
    or without an `__init__.py`. Errors: `ImportError` for a name that could not be imported by.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files: dict[str, str | None] = {}
        self._texts = files
        for file in files:
            *folders, last = file.removesuffix(".py").split("/")
            for depth in range(1, len(folders) + 1):
                self._files.setdefault(".".join(folders[:depth]), None)
            self._files[".".join(folders if last == "__init__" else [*folders, last])] = file
        for name in self._files:
            if name in sys.stdlib_module_names or name in _OURS:
                raise ImportError(f"The helper module {name} has the name of one that is there already: rename it.")

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a helper module or package; `None` for all other names."""
        if name not in self._files:
            return None
        file = self._files[name]
        is_package = file is None or file.endswith("__init__.py")
        # No subclass of importlib.abc.Loader: importing that takes longer than forking a runner does.
        spec = ModuleSpec(name, self, origin=file, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = file is not None
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As usual."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Evaluates the text; a folder without `__init__.py` has none."""
        file = self._files[module.__name__]
        if file is not None:
            evaluate(file, self._texts[file], module)


def evaluate(file: str, text: str, module: ModuleType) -> None:
    """Runs user code as the body of the module. Errors: `SyntaxError`; whatever the code raises."""
    # Tracebacks quote the source from here: there is no such file where the runner is.
    lines = [f"{line}\n" for line in text.removeprefix(_BYTE_ORDER_MARK).split("\n")]
    linecache.cache[file] = (len(text), None, lines, file)
    code = compile("".join(lines), file, "exec", dont_inherit=True)
    exec(code, vars(module))  # noqa: S102  # running user code is what this process is for


def make_importable(files: Mapping[str, str], site: str | None) -> None:
    """Helper modules go before installed packages, as files beside a script do."""
    if site is not None:
        sys.path.append(site)
    if files:
        sys.meta_path.insert(0, HelperModules(files))
