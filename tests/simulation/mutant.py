"""Plays seeds on a confkit in which one line is different: ``mutant.py module old new seeds``.

Prints the first violation with its seed; exits with 1 when there is one, with 0 when the mutation goes unnoticed.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


class Mutation(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module with one passage of its source replaced."""

    def __init__(self, module: str, old: str, new: str) -> None:
        self.module = module
        self.old = old
        self.new = new
        self.source = Path()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert found is not None
        assert found.origin is not None
        self.source = Path(found.origin)
        return importlib.util.spec_from_file_location(name, found.origin, loader=_Reader(self))

    def mutated(self) -> str:
        text = self.source.read_text()
        if text.count(self.old) != 1:
            print(f"{self.module} has {text.count(self.old)} passages like {self.old!r}, not one")
            sys.exit(2)
        return text.replace(self.old, self.new)


class _Reader(importlib.machinery.SourceFileLoader):
    def __init__(self, mutation: Mutation) -> None:
        super().__init__(mutation.module, str(mutation.source))
        self._mutation = mutation

    def get_code(self, _name: str) -> object:  # type: ignore[override]
        return compile(self._mutation.mutated(), self.path, "exec", dont_inherit=True)


def main(module: str, old: str, new: str, seeds: str) -> int:
    sys.meta_path.insert(0, Mutation(module, old, new))
    from confkit.testing.simulate import judge

    for seed in range(int(seeds)):
        if found := judge(seed).found:
            print(f"seed {seed}: {found[0]}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
