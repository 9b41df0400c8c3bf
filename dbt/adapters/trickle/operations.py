"""The verbs behind ``dbt run-operation trickle_…``.

Invariant: a verb takes plain arguments and returns records; how they look is ``lines``' concern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from jinja2 import Undefined

from trickle_runtime.errors import Diverged, InvalidConfig, RefreshError

if TYPE_CHECKING:
    from trickle_runtime.api import Runtime

Records = Sequence[object]
STATUS_FIELDS = (
    "schema",
    "name",
    "status",
    "schedule",
    "mode",
    "lag",
    "pending",
    "fuse_state",
    "last_action",
    "last_refresh_at",
    "waiting_for",
    "last_error",
)


def refresh(
    runtime: Runtime,
    name: str | None = None,
    mode: str | None = None,
    within: Sequence[str] | None = None,
) -> Records:
    """Refresh one stream table, or all that have pending changes.

    Raises:
        RefreshError: some could not be refreshed; the others were.
    """
    by = "dbt"
    if name is not None:
        return [runtime.refresh(name, mode=mode, initiated_by=by)]
    if mode is not None:
        raise InvalidConfig("mode needs a name", hint="Each stream table has its own mode.")
    results = runtime.refresh_all(within=within, initiated_by=by)
    failed = [f"{one.name}: {one.error}" for one in results if one.status == "failed"]
    if failed:
        raise RefreshError(
            f"{len(failed)} of {len(results)} stream tables could not be refreshed",
            detail="\n".join(failed),
        )
    return results


def status(
    runtime: Runtime, name: str | None = None, within: Sequence[str] | None = None
) -> Records:
    """Return the state of one stream table, or of those of the project."""
    found = runtime.status(*(() if name is None else (name,)))
    return [
        {field: getattr(one, field) for field in STATUS_FIELDS}
        for one in found
        if name is not None or within is None or one.schema in within
    ]


def explain(runtime: Runtime, name: str) -> Records:
    """Return how each part of a stream table's query is maintained."""
    return runtime.explain(name)


def explain_delta(
    runtime: Runtime, name: str, changed: Sequence[str] | None = None, plan: bool = False
) -> Records:
    """Return the statements of a refresh, with PostgreSQL's plans where asked for."""
    return runtime.explain_delta(name, changed, plan=plan)


def explain_rewrite(runtime: Runtime, query: str) -> Records:
    """Return what each pass of the compiler makes of a query."""
    return runtime.explain_query_rewrite(query)


def auxiliary_columns(runtime: Runtime, name: str) -> Records:
    """Return everything that is kept for a stream table besides its columns."""
    return runtime.list_auxiliary_columns(name)


def validate(runtime: Runtime, query: str) -> Records:
    """Return how a query would be maintained; creates nothing."""
    return runtime.validate_query(query)


def diagnose(runtime: Runtime, name: str) -> Records:
    """Return the last errors of a stream table with remedies."""
    return runtime.diagnose_errors(name)


def fuse_status(
    runtime: Runtime, name: str | None = None, within: Sequence[str] | None = None
) -> Records:
    """Return the fuse of one stream table, or those of the project."""
    return runtime.fuse_status(name, within=within)


def reset_fuse(runtime: Runtime, name: str, action: str = "apply") -> Records:
    """Reset a blown fuse."""
    runtime.reset_fuse(name, action=action)
    return [{"stream_table": name, "reset": action}]


def pause(runtime: Runtime, name: str) -> Records:
    """Stop refreshing a stream table."""
    runtime.pause(name)
    return [{"stream_table": name, "status": "paused"}]


def resume(runtime: Runtime, name: str) -> Records:
    """Refresh a paused or suspended stream table again."""
    runtime.resume(name)
    return [{"stream_table": name, "status": "active"}]


def drop(runtime: Runtime, name: str) -> Records:
    """Drop a stream table and all that was kept for it."""
    runtime.drop_stream_table(name)
    return [{"stream_table": name, "status": "dropped"}]


def verify(
    runtime: Runtime, name: str | None = None, within: Sequence[str] | None = None
) -> Records:
    """Compare stream tables with their queries at one snapshot.

    Raises:
        Diverged: one of them differs.
    """
    results = runtime.verify_all(within=within) if name is None else [runtime.verify(name)]
    wrong = [str(one) for one in results if not one.equal]
    if wrong:
        raise Diverged("\n".join(wrong), hint="Repair with trickle-runtime repair NAME.")
    return [{"stream_table": one.name, "result": str(one)} for one in results]


def wait(runtime: Runtime, name: str, timeout: float = 300) -> Records:
    """Return when all that is committed now has arrived in the stream table."""
    runtime.wait(name, timeout)
    return [{"stream_table": name, "status": "fresh"}]


VERBS: Mapping[str, Callable[..., Records]] = {
    verb.__name__: verb
    for verb in (
        refresh,
        status,
        explain,
        explain_delta,
        explain_rewrite,
        auxiliary_columns,
        validate,
        diagnose,
        fuse_status,
        reset_fuse,
        pause,
        resume,
        drop,
        verify,
        wait,
    )
}


OPERATIONS = {"wait": "wait_until_fresh"}  # where a verb has another name than the operation


def run(runtime: Runtime, verb: str, arguments: Mapping[str, Any]) -> list[str]:
    """Run a verb; its records as lines of text, aligned under their names.

    Raises:
        InvalidConfig: an argument is missing or of the wrong kind.
    """
    return list(lines(VERBS[verb](runtime, **_checked(verb, arguments))))


def _checked(verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that were given; what a macro was not given is undefined."""
    given = {
        name: value
        for name, value in arguments.items()
        if value is not None and not isinstance(value, Undefined)
    }
    for parameter in list(signature(VERBS[verb]).parameters.values())[1:]:
        value = given.get(parameter.name, parameter.default)
        if value is parameter.empty:
            raise InvalidConfig(
                f"trickle_{OPERATIONS.get(verb, verb)} needs an argument {parameter.name!r}",
                hint=f"Write --args '{{{parameter.name}: …}}'.",
            )
        if value is not None:
            given[parameter.name] = _READ.get(parameter.name, _text)(parameter.name, value)
    return given


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidConfig(f"{name} {value!r} is not valid", hint="Allowed: a text.")
    return value


def _texts(name: str, value: object) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) for v in values):
        raise InvalidConfig(f"{name} {value!r} is not valid", hint="Allowed: a list of names.")
    return list(values)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidConfig(f"{name} {value!r} is not valid", hint="Allowed: true, false.")
    return value


def _seconds(name: str, value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidConfig(f"{name} {value!r} is not valid", hint="Allowed: seconds, above 0.")
    return seconds


_READ: Mapping[str, Callable[[str, object], object]] = {
    "timeout": _seconds,
    "changed": _texts,
    "within": _texts,
    "plan": _flag,
}


def lines(records: Records) -> Iterable[str]:
    """Lay records out as a table; one field a line where there is one record, or long text."""
    rows = [_record(one) for one in records]
    if not rows:
        return ["none"]
    if len(rows) == 1 or any("\n" in value for row in rows for value in row.values()):
        return [f"{name}: {value}" for row in rows for name, value in row.items()]
    names = list(rows[0])
    table = [names, *([row[name] for name in names] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]


def _record(one: object) -> dict[str, str]:
    fields = asdict(one) if is_dataclass(one) and not isinstance(one, type) else dict(one)
    return {name: "-" if value is None else str(value) for name, value in fields.items()}
