"""How often the grammar chooses what: ``group.option`` to a factor on the weight in the code.

Invariant: a factor of 0 removes the option; what is not named here has the factor 1.
"""

from __future__ import annotations

from collections.abc import Mapping

Weights = Mapping[str, float]

# What the compiler of 2026-08 recomputes is left out, or nearly so; see ``--only-differential``.
DIFFERENTIAL: Weights = {
    "from.lateral": 0.0,
    "from.set_function": 0.0,
    "from.values": 0.0,
    "join.natural": 0.2,
    "query.recursive": 0.0,
    "query.values": 0.0,
    "query.constant": 0.2,
    "select.set_returning": 0.0,
    "condition.subquery": 0.5,
    "boolean.subquery": 0.0,
    "value.subquery": 0.1,
    "scalar.first": 0.1,
    "scalar.keyed": 0.1,
}
PROFILES: Mapping[str, Weights] = {"all": {}, "differential": DIFFERENTIAL}


def parse(texts: tuple[str, ...]) -> dict[str, float]:
    """Read factors as given on the command line: ``from.lateral=3``."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, factor = text.partition("=")
        found[name] = float(factor)
    return found
