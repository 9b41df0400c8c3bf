"""The fuse: a circuit breaker against an anomalous number of changes.

Invariant: a table whose fuse blows is not touched by that pass, nor by a later one before
somebody resets the fuse; state and reason are in the catalog, in other rows than the frontier.
``decide`` is pure; the baseline (mean, deviation, threshold) is a function of the catalog, so that
``fuse_status()`` and the pass can't disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trickle_runtime.capture.pending import Pending
from trickle_runtime.config import Schemas
from trickle_runtime.db.session import Row, Session
from trickle_runtime.db.sql import load_queries, qualified
from trickle_runtime.errors import (
    DatabaseError,
    FuseBlown,
    FuseNotBlown,
    InvalidConfig,
    StreamTableNotFound,
)

ACTIONS = ("apply", "reinitialize", "skip_changes")
CLEAR, BLOWS, BLOWN, SKIPS = "clear", "blows", "blown", "skips"
_ERRORS = {"42P01": StreamTableNotFound, "22023": InvalidConfig, "55000": FuseNotBlown}


@dataclass(frozen=True)
class FuseInput:
    """What is known of a fuse before a pass."""

    mode: str  # off, on, auto
    state: str  # armed, blown, disabled
    pending: int
    truncated: bool = False  # a source was truncated, which is no countable number of changes
    stored_rows: int = 0
    exempt: bool = False
    skip_next: bool = False
    ceiling: int | None = None
    threshold: float | None = None  # None: fewer than 5 samples
    mean: float | None = None
    stddev: float | None = None
    blow_reason: str | None = None


@dataclass(frozen=True)
class FuseDecision:
    """Whether a table may be refreshed; the numbers are those of the alert."""

    verdict: str  # clear, blows (now), blown (since before), skips (drop what is pending)
    pending: int
    ceiling: int | None = None
    threshold: float | None = None
    mean: float | None = None
    stddev: float | None = None
    reason: str | None = None

    @property
    def stops(self) -> bool:
        """Whether the table must not be refreshed."""
        return self.verdict in {BLOWS, BLOWN}


def decide(fuse: FuseInput) -> FuseDecision:
    """Return what the fuse says to this many pending changes.

    A TRUNCATE counts as a deletion of every stored row: how many rows the source lost is not
    known, and emptying a source by mistake is what a fuse is for.
    """
    if fuse.state == "blown":
        return FuseDecision(BLOWN, fuse.pending, reason=fuse.blow_reason)
    pending = fuse.pending + (fuse.stored_rows if fuse.truncated else 0)
    if fuse.skip_next and pending:
        return FuseDecision(SKIPS, pending)
    if fuse.mode == "off" or fuse.exempt:
        return FuseDecision(CLEAR, pending)
    threshold = fuse.threshold if fuse.mode == "auto" else None
    reason = _reason(pending, fuse, threshold)
    return FuseDecision(
        BLOWS if reason else CLEAR,
        pending,
        fuse.ceiling,
        threshold,
        fuse.mean,
        fuse.stddev,
        reason,
    )


def _reason(pending: int, fuse: FuseInput, threshold: float | None) -> str | None:
    what = f"{pending} pending changes"
    if fuse.truncated:
        what += " (with a TRUNCATE of a source)"
    if fuse.ceiling is not None and pending > fuse.ceiling:
        return f"{what} exceed the ceiling of {fuse.ceiling}"
    if threshold is not None and pending > threshold:
        usual = f"mean {fuse.mean:.1f}, standard deviation {fuse.stddev:.1f}"
        return f"{what} exceed the adaptive threshold of {threshold:.1f} ({usual})"
    return None


def judge(
    session: Session, schemas: Schemas, pending: Mapping[int, Mapping[int, Pending]]
) -> dict[int, FuseDecision]:
    """Return the decision for each stream table in ``pending``; writes nothing.

    Ask again, in the same pass, for a table that reads stream tables which have just been
    refreshed, with their new changes added: a spike may arrive through them.
    """
    if not pending:
        return {}
    sql = load_queries("refresh/fuse.sql", schemas)
    rows = session.execute(sql["inputs"], {"pgt_ids": list(pending)})
    return {row["pgt_id"]: decide(_input(row, pending[row["pgt_id"]])) for row in rows}


def record(
    session: Session,
    schemas: Schemas,
    decisions: Mapping[int, FuseDecision],
    *,
    held: bool = False,
) -> None:
    """Note the fuses that blow, and tell; call it after the pass, in a transaction of its own.

    Users write these rows too (pause, alter), which REPEATABLE READ would make an error. If it is
    lost in a crash, the next pass judges the same changes.

    Args:
        held: the changes are still with stream tables below, since the pass takes back what it
            did to the tables of an atomic diamond when one of them blows.
    """
    sql = load_queries("refresh/fuse.sql", schemas)
    for pgt_id, decision in decisions.items():
        if decision.verdict == BLOWS:
            values = {
                "pgt_id": pgt_id,
                "pending": decision.pending,
                "threshold": decision.threshold,
                "ceiling": decision.ceiling,
                "mean": decision.mean,
                "stddev": decision.stddev,
                "reason": decision.reason,
                "held": held,
            }
            session.execute(sql["blow"], values)


def _input(row: Row, pending: Mapping[int, Pending]) -> FuseInput:
    return FuseInput(
        mode=row["fuse_mode"],
        state=row["fuse_state"],
        pending=sum(one.changes for one in pending.values()),
        truncated=any(one.truncated for one in pending.values()),
        stored_rows=row["stored_rows"] or 0,
        exempt=row["fuse_exempt"],
        skip_next=row["skip_next"],
        ceiling=row["ceiling"],
        threshold=row["threshold"],
        mean=row["mean"],
        stddev=row["stddev"],
        blow_reason=row["blow_reason"],
    )


def skipped(session: Session, schemas: Schemas, pgt_id: int) -> None:
    """Note that held changes were skipped: the frontier moved, and nothing was applied."""
    sql = load_queries("refresh/fuse.sql", schemas)
    session.execute(sql["skipped"], {"pgt_id": pgt_id})


def blown_error(name: str, reason: str | None) -> FuseBlown:
    """Return the error for a manual refresh of a table whose fuse is blown."""
    return FuseBlown(
        f"the fuse of {name} is blown",
        detail=reason,
        hint=f"Look at the backlog, then run: trickle-runtime fuse reset {name} --action apply"
        " (or reinitialize, skip_changes).",
    )


def reset(
    session: Session, schemas: Schemas, name: str | tuple[str, str], action: str = "apply"
) -> None:
    """Reset a blown fuse; the caller commits.

    ``apply`` lets the backlog through once, ``reinitialize`` recomputes the table from its
    sources, ``skip_changes`` moves its frontier over them: it then differs from its query until
    the next full refresh.

    Raises:
        InvalidConfig: there is no such action.
        StreamTableNotFound: there is no such stream table.
        FuseNotBlown: nothing is to be reset.
    """
    if action not in ACTIONS:
        raise InvalidConfig(
            f"there is no action {action!r} to reset a fuse",
            hint=f"Actions: {', '.join(ACTIONS)}.",
        )
    sql = load_queries("refresh/fuse.sql", schemas)
    text = name if isinstance(name, str) else qualified(*name)
    try:
        session.execute(sql["reset"], {"name": text, "action": action})
    except DatabaseError as error:
        kind = _ERRORS.get(error.sqlstate or "")
        if kind is None:
            raise
        session.rollback()
        raise kind(error.message, hint=error.hint) from error
