"""Every ready-made class of dbt-tests-adapter, on ``type: trickle``.

Long (half an hour), hence apart: there is nothing to collect unless ``TRICKLE_CONFORMANCE`` is
set. Each class left out has its reason.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import dbt.tests.adapter

NOT_FOR_POSTGRES = "not for PostgreSQL"
LEFT_OUT = {
    "catalog_integrations": NOT_FOR_POSTGRES,
    "python_model": NOT_FOR_POSTGRES,
    "simple_copy.test_copy_uppercase": "has a profile of its own: type postgres, port 5432",
    "basic": "in test_basic",
    "hooks": "in test_hooks",
    "materialized_view": "in test_materialized_view",
}


def _modules() -> Iterator[str]:
    """The suite's folders are namespace packages, which pkgutil does not walk."""
    if "TRICKLE_CONFORMANCE" not in os.environ:
        return
    (root,) = map(Path, dbt.tests.adapter.__path__)
    for path in sorted(root.rglob("test_*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        if not any(name.startswith(one) for one in LEFT_OUT):
            yield f"{dbt.tests.adapter.__name__}.{name}"


for _module in _modules():
    for _name, _value in vars(importlib.import_module(_module)).items():
        if _name.startswith("Test") and getattr(_value, "__module__", None) == _module:
            globals()[f"{_name}_{_module.rpartition('.test_')[2]}"] = _value
