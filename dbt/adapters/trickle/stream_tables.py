"""What dbt does with a stream table, verb by verb; each returns the message that users read.

Invariant: nothing is decided here that the runtime can decide: a verb is one or two calls of its
api, and the words for what came of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import filterfalse
from typing import TYPE_CHECKING, Any

from dbt.adapters.events.logging import AdapterLogger

from dbt.adapters.trickle import gates
from dbt.adapters.trickle.indexes import named_by_dbt, plan_indexes
from dbt.adapters.trickle.relation_configs import (
    StreamTableChangeset,
    StreamTableConfig,
    changeset,
)
from trickle_runtime.config import Constraint, StreamTableOptions
from trickle_runtime.errors import (
    DatabaseError,
    FuseBlown,
    HasDependants,
    NotActive,
    NotInstalled,
    View,
)

if TYPE_CHECKING:
    from trickle_runtime.api import RefreshResult, Runtime

logger = AdapterLogger("Trickle")
Name = tuple[str, str]
Described = Mapping[str, Any]
DropViews = Callable[[Sequence[View]], None]
INITIATED_BY = "dbt"
INSUFFICIENT_PRIVILEGE = "42501"
WORTH_TELLING_S = 0.1
_OPTIONS = (
    "schedule",
    "refresh_mode",
    "partition_by",
    "fuse",
    "tier",
    "cdc_mode",
    "diamond_consistency",
    "append_only",
)


@dataclass(frozen=True)
class Outcome:
    """What became of a stream table whose query is the same.

    ``words`` say what was done, or why nothing was; empty where there was nothing to do.
    """

    words: str
    refreshed: bool = False
    warning: str | None = None

    @property
    def message(self) -> str:
        """The words as a run's message."""
        return f"STREAM TABLE {self.words}" if self.refreshed else _say("unchanged", self.words)


def install(runtime: Runtime) -> None:
    """Create the catalog at the first use of a stream table.

    Raises:
        NotInstalled: this role may not; says who has to do what.
    """
    try:
        runtime.install()
    except DatabaseError as error:
        if error.sqlstate != INSUFFICIENT_PRIVILEGE:
            raise
        prefix = runtime.schemas.prefix
        raise NotInstalled(
            f"this role can neither use nor create the catalog in schema {prefix}",
            detail=error.message,
            hint="Let a role that may create schemas run `trickle-runtime install` and grant USAGE"
            f" on the schemas {prefix}, {prefix}_changes and {prefix}_state and all rights on what"
            " is in them; or grant CREATE on the database.",
        ) from error


def create(runtime: Runtime, name: Name, desired: StreamTableConfig, *, replace: bool) -> str:
    """Create a stream table, in place of another kind of relation where ``replace``."""
    info = runtime.create_stream_table(
        name,
        desired.query,
        **desired.creation_options(),
        replace_relation=replace,
        gate=desired.tests,
        constraints=desired.constraints,
        initiated_by=INITIATED_BY,
    )
    _tell_of_gate(runtime, name, desired)
    if desired.wait:
        runtime.wait(name, desired.wait_timeout)
    reasons = [one.message for one in info.reasons if one.severity == "WARNING"]
    what = "created, resumed" if info.resumed else "created"
    return _say(what, _full(info.effective_mode, reasons))


def changes(
    runtime: Runtime,
    name: Name,
    desired: StreamTableConfig,
    described: Described,
    indexes: Iterable[Mapping[str, Any]],
) -> StreamTableChangeset | None:
    """Compare a stream table with its model; ``indexes`` are those that the model names."""
    differ = {
        "constraints": _constraints(described) != list(desired.constraints),
        "indexes": plan_indexes(described["indexes"], indexes).changed,
        "gate": gates.differs(runtime, name, described, desired.tests),
    }
    return changeset(
        _options(described),
        desired,
        same_query=described["same_query"],
        others=[what for what, different in differ.items() if different],
    )


def alter(
    runtime: Runtime,
    name: Name,
    desired: StreamTableConfig,
    found: StreamTableChangeset,
    drop_views: DropViews,
) -> str:
    """Apply what changed; ``drop_views`` drops views on the table that are in the way."""
    _alter(runtime, name, desired, drop_views, anew="query" in found.names)
    _tell_of_gate(runtime, name, desired)
    if found.requires_full_refresh:
        return _say(f"replaced ({', '.join(found.names)})", _full_now(runtime, name))
    return _say(f"altered {', '.join(found.names)}")


def rebuild(
    runtime: Runtime, name: Name, desired: StreamTableConfig, drop_views: DropViews
) -> str:
    """Apply what changed and compute every row anew; the table stays the same relation."""
    _alter(runtime, name, desired, drop_views, anew=True)
    return _say("rebuilt", _counts(runtime.refresh(name, mode="full", initiated_by=INITIATED_BY)))


def _alter(
    runtime: Runtime,
    name: Name,
    desired: StreamTableConfig,
    drop_views: DropViews,
    *,
    anew: bool,
) -> None:
    """Alter; with ``anew`` the query is analysed even if its text is the same.

    The runtime looks at a text only if it is another, but ``select *`` may mean other columns by
    now. Views on a table whose columns change share the fate that they have under dbt's tables.
    """
    query = desired.query
    if anew and runtime.query(name) == query:
        query = f"{query}\n"
    alteration = partial(
        runtime.alter_stream_table,
        name,
        query=query,
        gate=desired.tests,
        constraints=desired.constraints,
        initiated_by=INITIATED_BY,
        **desired.alteration_options(),
    )
    try:
        result = alteration()
    except HasDependants as error:
        if not error.views:
            raise
        drop_views(error.views)
        result = alteration()
    for lost in filterfalse(_renewed_by_dbt, result.lost):
        logger.warning(f"{result.name} has other columns now, and {lost} could not follow")


def _renewed_by_dbt(lost: str) -> bool:
    """Whether the model itself says what of it there is to be."""
    kind, _, name = lost.partition(" ")
    return kind == "index" and named_by_dbt(name)


def refresh(
    runtime: Runtime, name: Name, desired: StreamTableConfig, described: Described
) -> Outcome:
    """Bring an unchanged stream table up to date, unless something else does.

    Raises:
        GateFailed: a test of its gate fails on the new rows.
        FuseBlown: one did so before.
        NotActive, WaitTimeout: the model waits, and what is committed does not arrive.
    """
    altered = _update_gate(runtime, name, desired, described)
    outcome = _refresh(runtime, name, desired, described)
    waited = _wait(runtime, name, desired, described) if desired.wait else None
    words = ", ".join(filter(None, [altered, outcome.words, waited]))
    return replace(outcome, words=words)


def _update_gate(
    runtime: Runtime, name: Name, desired: StreamTableConfig, described: Described
) -> str | None:
    """Store the tests of the gate again where some could not be run so far."""
    if not gates.incomplete(described):
        return None
    result = runtime.alter_stream_table(name, gate=desired.tests, initiated_by=INITIATED_BY)
    _tell_of_gate(runtime, name, desired)
    return "altered gate" if result.changed else None


def _tell_of_gate(runtime: Runtime, name: Name, desired: StreamTableConfig) -> None:
    """Say which tests are not run yet; the relations that they read may come in this run."""
    for note in gates.not_run_yet(runtime, name) if desired.tests else ():
        logger.info(f"{name[0]}.{name[1]}: {note}")


def _refresh(
    runtime: Runtime, name: Name, desired: StreamTableConfig, described: Described
) -> Outcome:
    reason = _why_not(desired, described)
    if reason is not None:
        return Outcome(reason)
    if described["status"] in {"suspended", "error"}:
        runtime.resume(name)
    try:
        result = runtime.refresh(name, initiated_by=INITIATED_BY)
    except FuseBlown as error:
        if described["blown_by_gate"]:
            raise
        warning = f"{error} Reset it with `dbt run-operation trickle_reset_fuse`."
        return Outcome("not refreshed: its fuse is blown", warning=warning)
    if result.action == "NO_DATA":
        return Outcome("")
    if result.status == "skipped":
        return Outcome(f"not refreshed: {result.reason}")
    if result.action == "FULL" and described["effective_mode"] == "full":
        reasons = _warnings(json.loads(described["mode_reasons"]))
        result = replace(result, reason="; ".join(reasons) or result.reason)
    return Outcome(f"refreshed {_counts(result)}", refreshed=True)


def _why_not(desired: StreamTableConfig, described: Described) -> str | None:
    """Say why a run leaves the rows as they are; ``None`` where it refreshes."""
    if described["status"] == "paused":
        return "not refreshed: it is paused"
    if desired.refresh_on_run == "false":
        return "not refreshed: refresh_on_run is false"
    kept_fresh = described["daemon_is_running"] and not described["source_replaced"]
    automatic = desired.refresh_on_run == "auto" and not desired.wait
    if automatic and kept_fresh and described["status"] == "active":
        return "kept fresh by the daemon"
    return None


def _wait(
    runtime: Runtime, name: Name, desired: StreamTableConfig, described: Described
) -> str | None:
    """Return when all that is committed now has arrived; how long it took, if it took time."""
    if described["status"] == "paused":
        raise NotActive("wait is true, but the stream table is paused", hint="Resume it.")
    if desired.refresh_on_run == "false" and not described["daemon_is_running"]:
        raise NotActive(
            "wait is true, but refresh_on_run is false and no daemon is running",
            hint="Start trickle-runtime serve, or leave refresh_on_run out.",
        )
    started = time.perf_counter()
    runtime.wait(name, desired.wait_timeout)
    seconds = time.perf_counter() - started
    return f"waited {seconds:.1f} s" if seconds >= WORTH_TELLING_S else None


def _counts(result: RefreshResult) -> str:
    """Say what a refresh changed: ``+12 -3 in 0.04 s``."""
    signed = (("+", result.inserted), ("~", result.updated), ("-", result.deleted))
    words = [f"{sign}{count}" for sign, count in signed if count or sign != "~"]
    text = f"{' '.join(words)} in {result.duration:.2f} s"
    if result.action == "DIFFERENTIAL":
        return text
    return f"{text} ({result.action}{f': {result.reason}' if result.reason else ''})"


def _full(mode: str, reasons: list[str]) -> str | None:
    if mode != "full":
        return None
    return f"FULL: {'; '.join(reasons)}" if reasons else "FULL"


def _full_now(runtime: Runtime, name: Name) -> str | None:
    """Say why a new query is computed in full, if it is."""
    (status,) = runtime.status(name)
    return _full(status.mode, _warnings(status.mode_reasons))


def _warnings(reasons: Iterable[Mapping[str, Any]]) -> list[str]:
    return [str(one["message"]) for one in reasons if one["severity"] == "WARNING"]


def _say(what: str, more: str | None = None) -> str:
    return f"STREAM TABLE {what}" + (f", {more}" if more else "")


def _options(described: Described) -> StreamTableOptions:
    """Options as the catalog has them; the catalog's status knows more words than a model."""
    values: dict[str, Any] = {name: described[name] for name in _OPTIONS}
    ceiling = described["fuse_ceiling"]
    values["fuse_ceiling"] = None if ceiling is None else int(ceiling)
    values["fuse_sensitivity"] = float(described["fuse_sensitivity"])
    values["unique_key"] = json.loads(described["unique_key"] or "null")
    values["status"] = "paused" if described["status"] == "paused" else "active"
    return StreamTableOptions.parse(values)


def _constraints(described: Described) -> list[Constraint]:
    return [
        Constraint(one["kind"], tuple(one["columns"]), one["expression"], one["name"])
        for one in json.loads(described["constraints"] or "[]")
    ]


def drop(runtime: Runtime, name: Name) -> None:
    """Drop a stream table and all that was kept for it, as dbt drops: with views on it.

    Stream tables above stay, and read what has its name by their next refresh.
    """
    runtime.drop_stream_table(name, cascade=True, if_exists=True, detach=True)


def release_schema(runtime: Runtime, schema: str) -> None:
    """Drop the stream tables of a schema, and what is left of relations that are gone.

    Those of other schemas stay, as tables do, and say what they lack at their next refresh.
    """
    for one in runtime.status():
        if one.schema == schema:
            drop(runtime, (one.schema, one.name))
    runtime.cleanup()


def verify(runtime: Runtime, name: Name) -> str | None:
    """Compare a stream table with its query; what differs, or None."""
    result = runtime.verify(name)
    return None if result.equal else str(result)
