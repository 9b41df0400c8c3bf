"""Every class of dbt-tests-adapter that can be run as it is, on ``type: trickle``.

Too long for every change: ``make conformance`` runs it, with counts.
"""

from __future__ import annotations

import pytest

from tests.functional.conformance.suite import suites

pytestmark = pytest.mark.slow

for _one in suites():
    if _one.left_out is None and _one.adapted is None:
        _name = f"Test{_one.name.removeprefix('Test')}__{_one.module.replace('.', '_')}"
        globals()[_name] = type(_name, (_one.value,), {"package": _one.package})
