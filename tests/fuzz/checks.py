"""What is checked at a refresh, and what counts as a failure.

(a) the delta is new minus old; (b) the table equals its query; (c) the refresh was differential
where the table is, without falling back; (d) errors are ours, have a code, and are no bugs;
(e) SQLancer's NoREC and TLP on the table's content. Invariant: an error that the query itself
raises at the same moment is no failure.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import delta_oracle
from tests.oracle import assert_exact
from trickle_runtime.errors import DatabaseError, InternalError, TrickleError

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime
    from trickle_runtime.refresh.result import RefreshResult

# Why a differential table may be computed anew: a TRUNCATE says nothing of the rows it removed.
_GOOD_REASONS = ("a source was truncated", "asked for")
_HEAVY = 2.0  # seconds of a query that may take long to refresh, too
_NOREC = """
SELECT (SELECT count(*) FROM {relation} AS q({names}) WHERE {test}) AS filtered,
       (SELECT count(*) FILTER (WHERE shown) FROM (
           SELECT ({test}) IS TRUE AS shown FROM ({query}) AS q({names})) p) AS counted
"""
_TLP = """
WITH parts AS (
    SELECT {texts} FROM {relation} AS q({names}) WHERE {test}
    UNION ALL SELECT {texts} FROM {relation} AS q({names}) WHERE NOT ({test})
    UNION ALL SELECT {texts} FROM {relation} AS q({names}) WHERE ({test}) IS NULL),
whole AS (SELECT {texts} FROM ({query}) AS q({names}))
SELECT count(*) AS wrong FROM (
    (TABLE parts EXCEPT ALL TABLE whole) UNION ALL (TABLE whole EXCEPT ALL TABLE parts)) d
"""


_PARTS = """
WITH parts AS ({parts}), whole AS (SELECT w::text AS row FROM {whole} AS w)
SELECT count(*) AS wrong FROM (
    (TABLE parts EXCEPT ALL TABLE whole) UNION ALL (TABLE whole EXCEPT ALL TABLE parts)) d
"""


@dataclass(frozen=True)
class Failure:
    """A mismatch or an error; ``step`` is the position in the history, -1 for the creation."""

    kind: str
    name: str
    step: int
    message: str

    @property
    def signature(self) -> str:
        """What failures of one cause have in common, roughly."""
        said = self.message.splitlines()[0][:70] if self.is_error else ""
        return re.sub(r"\d+", "#", f"{self.kind}: {said}")

    @property
    def is_error(self) -> bool:
        """Whether the message says what is wrong."""
        return self.kind not in {"delta", "table", "fill", "norec", "tlp"}


@dataclass(frozen=True)
class Outcome:
    """What happened at one refresh."""

    failure: tuple[str, str] | None = None  # kind, message
    action: str = ""
    compared: bool = False
    delta_compared: bool = False
    raised: bool = False  # the query raises
    seconds: float = 0.0
    changed: bool = False


def _delta(rt: Runtime, name: str) -> tuple[str, str] | None:
    """Compare the pending delta; returns kind and message of a failure."""
    try:
        delta_oracle.assert_delta(rt, name)
    except AssertionError as error:
        return "delta", str(error)
    except Exception as error:  # whatever the compiler raises is a finding
        return "delta-error", _text(error)
    return None


def refresh(
    rt: Runtime, name: str, query: str, *, differential: bool, mode: str | None
) -> Outcome:
    """Refresh one stream table, which is ``differential`` or not, and compare."""
    delta = _delta(rt, name) if differential and mode is None else None
    wanted = mode or ("differential" if differential else None)
    try:
        result = rt.refresh(name, mode=wanted)
    except Exception as error:
        rt.session.rollback()
        if raises(rt, query):
            return Outcome(raised=True)
        return Outcome((_kind(error, "refresh-error"), _text(error)))
    truncated = result.reason in _GOOD_REASONS
    failure = None if truncated else delta or _fallen_back(result)
    checked = differential and mode is None and not truncated
    exact, raised = _exact(rt, name, query)
    if raised:
        return Outcome(action=result.action, raised=True)
    if failure is None and exact is not None:
        failure = ("table", exact)
    elif failure is not None:
        failure = (
            failure[0],
            f"{failure[1]}\n(the table is {'wrong' if exact else 'right'} then)",
        )
    changed = result.changed > 0
    return Outcome(failure, result.action, True, checked, False, result.duration, changed)


def filled(rt: Runtime, name: str, query: str) -> tuple[str, str] | None:
    """How a new stream table differs from its query."""
    exact, _ = _exact(rt, name, query)
    return None if exact is None else ("fill", exact)


def creation_failure(rt: Runtime, query: str, error: Exception) -> tuple[str, str] | None:
    """What is wrong with an error at creation, if anything is."""
    rt.session.rollback()
    if isinstance(error, TrickleError) and not isinstance(error, (InternalError, DatabaseError)):
        return None if error.code != TrickleError.code else ("create-error", _text(error))
    if isinstance(error, DatabaseError) and raises(rt, query):
        return None
    return _kind(error, "create-error"), _text(error)


def sqlancer(
    rt: Runtime, name: str, query: str, columns: Sequence[str], test: str
) -> tuple[str, str] | None:
    """NoREC and TLP with one condition over the columns ``c1, c2 …``."""
    names = [f"c{i}" for i in range(1, len(columns) + 1)]
    texts = {
        "relation": name,
        "query": query + "\n",
        "names": ", ".join(names),
        "texts": ", ".join(f'q.{n}::text COLLATE "C" AS {n}' for n in names),
        "test": test,
    }
    try:
        counts = rt.session.execute(_NOREC.format(**texts))[0]
        wrong = rt.session.execute(_TLP.format(**texts))[0]["wrong"]
    except DatabaseError:
        return None  # the condition raises
    finally:
        rt.session.rollback()
    if counts["filtered"] != counts["counted"]:
        return "norec", f"{test}: {counts}"
    return ("tlp", f"{test}: {wrong} rows differ") if wrong else None


def partition(rt: Runtime, whole: str, parts: Sequence[str]) -> tuple[str, str] | None:
    """TLP over stream tables: those of p, NOT p and p IS NULL make up the one without."""
    text = " UNION ALL ".join(f"SELECT p::text AS row FROM {name} AS p" for name in parts)
    try:
        wrong = rt.session.execute(_PARTS.format(parts=text, whole=whole))[0]["wrong"]
    finally:
        rt.session.rollback()
    return ("tlp", f"{', '.join(parts)} against {whole}: {wrong} rows differ") if wrong else None


def raises(rt: Runtime, query: str) -> bool:
    """Whether the query itself raises an error now, or takes its time."""
    started = time.monotonic()
    try:
        rt.session.execute(f"SELECT count(*), count(q::text) FROM ({query}\n) q")
    except DatabaseError:
        return True
    finally:
        rt.session.rollback()
    return time.monotonic() - started > _HEAVY


def _exact(rt: Runtime, name: str, query: str) -> tuple[str | None, bool]:
    """How the table differs from its query, and whether the query raises."""
    try:
        assert_exact(rt, name)
    except AssertionError as error:
        return str(error), False
    except DatabaseError as error:
        rt.session.rollback()
        return (None, True) if raises(rt, query) else (_text(error), False)
    return None, False


def _fallen_back(result: RefreshResult) -> tuple[str, str] | None:
    """A full difference that nobody asked for."""
    if result.status != "completed":
        return "refresh-error", f"{result.status}: {result.reason}"
    if result.action == "REINITIALIZE":
        return "fallback", str(result.reason)
    return None


def _kind(error: Exception, kind: str) -> str:
    if isinstance(error, DatabaseError) and error.sqlstate == "57014":
        return "slow"
    return kind if isinstance(error, TrickleError) else "crash"


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
