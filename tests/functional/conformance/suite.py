"""The classes of dbt-tests-adapter: which are run as they are, which are adapted, which left out.

Invariant: every class with tests is either run (here or in a file of this folder) or left out with
a reason; the counts of ``make conformance`` are made from this.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dbt.tests.adapter
from dbt.version import get_installed_version

PACKAGE = dbt.tests.adapter.__name__
NOT_FOR_POSTGRES = "not for PostgreSQL"
PYTHON_OR_JAVASCRIPT = "functions in SQL only on PostgreSQL"
ABSTRACT = "a base for others, without a model of its own"

# By module or module:class, without the package.
LEFT_OUT = {
    "basic.test_get_catalog_for_single_relation": "a capability that dbt-postgres does not have",
    "dbt_clone.test_dbt_clone:BaseClonePossible": "PostgreSQL can't clone tables",
    "dbt_clone.test_dbt_clone:BaseCloneSameSourceAndTarget": "needs a clone of tables",
    "functions.test_js_udfs": PYTHON_OR_JAVASCRIPT,
    "functions.test_udafs": "dbt-postgres makes no aggregates",
    "functions.test_udfs:PythonUDFDefaultArgSupport": PYTHON_OR_JAVASCRIPT,
    "functions.test_udfs:PythonUDFSupported": PYTHON_OR_JAVASCRIPT,
    "functions.test_udfs:PythonUDFVolatilitySupport": PYTHON_OR_JAVASCRIPT,
    "functions.test_udfs:PythonUDFWithPackagesSupported": PYTHON_OR_JAVASCRIPT,
    "python_model": "no Python models on PostgreSQL",
    "utils.base_array_utils": ABSTRACT,
    "utils.base_utils": ABSTRACT,
    "utils.data_types.base_data_type_macro": ABSTRACT,
    "utils.test_current_timestamp:BaseCurrentTimestampNaive": "timestamps have a time zone here",
    "utils.test_escape_single_quotes:BaseEscapeSingleQuotesBackslash": "quotes are doubled here",
}
# Run by a file of this folder, with what is PostgreSQL's or ours in it.
ADAPTED = {
    "basic": "test_basic",
    "empty.test_empty:BaseTestEmptyInlineSourceRef": "test_adapted",
    "empty.test_empty:MetadataWithEmptyFlag": "test_adapted",
    "ephemeral.test_ephemeral:TestEphemeralMulti": "test_adapted",
    "ephemeral.test_ephemeral:TestEphemeralNested": "test_adapted",
    "functions.test_udfs:SqlUDFDefaultArgSupport": "test_adapted",
    "hooks": "test_hooks",
    "materialized_view": "test_materialized_view",
    "simple_copy.test_copy_uppercase": "test_adapted",
    "simple_seed.test_seed:TestSimpleSeedWithBOM": "test_adapted",
    "utils.test_date_spine": "test_adapted",
    "utils.test_get_intervals_between": "test_adapted",
}
NEWER = {"empty.test_empty:BaseTestEmptySeedFlag": (1, 12)}


@dataclass(frozen=True)
class Suite:
    """A class of the suite that has tests."""

    module: str
    name: str
    value: type

    @property
    def key(self) -> str:
        return f"{self.module}:{self.name}"

    @property
    def package(self) -> str:
        return self.module.split(".")[0]

    def listed(self, table: dict[str, str]) -> str | None:
        """What a table says of it, by its module or its name."""
        for key, value in table.items():
            if self.key.startswith(key) if ":" in key else f"{self.module}.".startswith(f"{key}."):
                return value
        return None

    @property
    def left_out(self) -> str | None:
        """Why it is not run, if so."""
        needed = NEWER.get(self.key)
        if needed is not None and _dbt_version() < needed:
            return f"needs dbt-core {needed[0]}.{needed[1]}"
        return self.listed(LEFT_OUT)

    @property
    def tested(self) -> type:
        """The class that a file of this folder has to be made of: a ready one may be empty."""
        empty = not any(callable(value) for value in vars(self.value).values())
        return self.value.__mro__[1] if empty and self.name.startswith("Test") else self.value

    @property
    def adapted(self) -> str | None:
        """The file of this folder that runs it, if one does."""
        return None if self.left_out else self.listed(ADAPTED)


@cache
def suites() -> tuple[Suite, ...]:
    """All classes with tests: those ready to run, and bases that no ready one is made of."""
    return tuple(one for module in _modules() for one in _of_module(module))


def _modules() -> Iterator[str]:
    """The suite's folders are namespace packages, which pkgutil does not walk."""
    (root,) = map(Path, dbt.tests.adapter.__path__)
    for path in sorted(root.rglob("*.py")):
        if path.name != "__init__.py":
            yield ".".join(path.relative_to(root).with_suffix("").parts)


def _of_module(module: str) -> Iterator[Suite]:
    found = vars(importlib.import_module(f"{PACKAGE}.{module}"))
    own = {
        name: value
        for name, value in found.items()
        if inspect.isclass(value) and value.__module__ == f"{PACKAGE}.{module}" and _tests(value)
    }
    ready = {name for name in own if name.startswith("Test")}
    used = {base for name in ready for base in own[name].__mro__[1:]}
    for name, value in own.items():
        if name in ready or value not in used:
            yield Suite(module, name, value)


def _tests(value: type) -> bool:
    return any(name.startswith("test") and callable(getattr(value, name)) for name in dir(value))


def _dbt_version() -> tuple[int, int]:
    version = get_installed_version()
    return int(version.major or 0), int(version.minor or 0)
