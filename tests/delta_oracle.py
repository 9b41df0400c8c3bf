"""The second oracle: the computed delta against new minus old, before anything is applied.

A refresh that is right only because a later step repairs it would pass the first oracle. This one
compiles the delta of everything pending, runs it up to the net delta in a transaction that is
rolled back, and compares with the difference between the query now and the stored rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from trickle_runtime.analysis import Analysis, analyse
from trickle_runtime.capture.buffer import view_name
from trickle_runtime.compiler.apply import DELTA_TABLE, Target
from trickle_runtime.compiler.result import Step
from trickle_runtime.db.session import Session

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime

_FACTS = """
SELECT s.pgt_id, s.query, s.session_settings, s.pgt_relid::regclass::text AS relation,
       f.snapshot::text AS snapshot, f.upstream, f.clock::text AS clock, f.refresh_no,
       s.unique_key, s.definition_version
FROM pgtrickle.pgt_stream_tables s JOIN pgtrickle.pgt_frontiers f USING (pgt_id)
WHERE s.pgt_relid = to_regclass(%(name)s)
"""
_CHANGED = """
SELECT count(*) AS n FROM {buffer} b
WHERE NOT pg_visible_in_snapshot(b.xid, '{snapshot}'::pg_snapshot)
"""
_WRONG = """
WITH now AS (SELECT {texts} FROM ({query}) q({names})),
     old AS (SELECT {texts} FROM (TABLE {relation}) q({names})),
     delta AS (SELECT {texts}, q.__pgt_w FROM (TABLE pg_temp.{delta}) q({names}, __pgt_w)),
     added AS (SELECT {names} FROM delta d, generate_series(1, d.__pgt_w)),
     gone AS (SELECT {names} FROM delta d, generate_series(1, -d.__pgt_w))
SELECT * FROM (
    (SELECT 'not added', w.* FROM (
        (TABLE now EXCEPT ALL TABLE old) EXCEPT ALL TABLE added) w)
    UNION ALL (SELECT 'wrongly added', w.* FROM (
        TABLE added EXCEPT ALL (TABLE now EXCEPT ALL TABLE old)) w)
    UNION ALL (SELECT 'not removed', w.* FROM (
        (TABLE old EXCEPT ALL TABLE now) EXCEPT ALL TABLE gone) w)
    UNION ALL (SELECT 'wrongly removed', w.* FROM (
        TABLE gone EXCEPT ALL (TABLE old EXCEPT ALL TABLE now)) w)
) d LIMIT 20
"""

_LISTED = "SELECT q.__pgt_w, {texts} FROM (TABLE pg_temp.{delta}) q({names}, __pgt_w)"


def assert_delta(rt: Runtime, name: str) -> None:
    """Fail unless the delta of what is pending for ``name`` is the query now minus its rows."""
    wrong = _compare(rt, name, _WRONG)
    assert not wrong, f"the delta of {name} is not new minus old: {wrong}"


def net_delta(rt: Runtime, name: str) -> list[list[object]]:
    """The net delta of what is pending: weight, then the columns as texts."""
    rows = _compare(rt, name, _LISTED)
    return [[row.pop("__pgt_w"), *row.values()] for row in rows]


def _compare(rt: Runtime, name: str, statement: str) -> list[dict[str, object]]:
    session = rt.session
    session.commit()
    session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    try:
        facts = session.execute(_FACTS, {"name": name})[0]
        for setting, value in facts["session_settings"].items():
            _set(rt, setting, value)
        compiled = _compiled(rt, facts)
        analysis = compiled.analysis
        changed = _changed(rt, facts, analysis)
        if not changed:
            return []
        _set(rt, "pgtrickle.frontier", facts["snapshot"])
        _set(rt, "pgtrickle.clock", facts["clock"])
        for step in compiled.steps(changed):
            session.execute(step.sql)
        names = [f"c{number}" for number in range(len(analysis.columns))]
        texts = {
            "query": facts["query"].strip().rstrip(";") + "\n",
            "relation": facts["relation"],
            "delta": DELTA_TABLE,
            "names": ", ".join(names),
            "texts": ", ".join(f'q.{n}::text COLLATE "C" AS {n}' for n in names),
        }
        return session.execute(statement.format(**texts))
    finally:
        session.rollback()


class _Compiled:
    """An analysis, and the steps up to the delta for each set of changed sources."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self._steps: dict[frozenset[int], list[Step]] = {}

    def steps(self, changed: frozenset[int]) -> list[Step]:
        if changed not in self._steps:
            steps = self.analysis.delta_steps(changed, materialise=True)
            self._steps[changed] = [step for step in steps if step.kind != "apply"]
        return self._steps[changed]


# Analysing and compiling takes most of the time, so it is done once per session and definition.
_COMPILED: WeakKeyDictionary[Session, dict[tuple[object, ...], _Compiled]] = WeakKeyDictionary()


def _compiled(rt: Runtime, facts: dict[str, Any]) -> _Compiled:
    known = _COMPILED.setdefault(rt.session, {})
    key = tuple(facts[name] for name in ("pgt_id", "definition_version", "query"))
    if key not in known:
        known[key] = _Compiled(_analysed(rt, facts))
    return known[key]


def _analysed(rt: Runtime, facts: dict[str, Any]) -> Analysis:
    analysis = analyse(
        rt.session,
        facts["query"],
        schemas=rt.schemas,
        search_path=facts["session_settings"].get("search_path"),
        target=Target(facts["pgt_id"], facts["relation"]),
        unique_key=facts["unique_key"],
    )
    assert analysis.mode == "differential", analysis.reasons
    return analysis.with_buffers(
        {source.relid: view_name(rt.schemas, source.relid) for source in analysis.sources}
    )


def _changed(rt: Runtime, facts: dict[str, Any], analysis: Analysis) -> frozenset[int]:
    changed: set[int] = set(analysis.always)
    for source in analysis.sources:
        if source.kind in {"matview", "foreign"}:
            continue
        if source.pgt_id is not None:
            consumed = (facts["upstream"] or {}).get(str(source.pgt_id), 0)
            _set(rt, f"pgtrickle.upstream_{source.pgt_id}", str(consumed))
            changed.add(source.relid)
            continue
        buffer = view_name(rt.schemas, source.relid)
        text = _CHANGED.format(buffer=buffer, snapshot=facts["snapshot"])
        if rt.session.execute(text)[0]["n"]:
            changed.add(source.relid)
    return frozenset(changed)


def _set(rt: Runtime, name: str, value: str) -> None:
    rt.session.execute(
        "SELECT set_config(%(name)s, %(value)s, true)", {"name": name, "value": value}
    )
