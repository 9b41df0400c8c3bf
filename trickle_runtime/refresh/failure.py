"""What an error means for a stream table: try again later, count it, or give up at once.

Invariant: pure; classified by our classes and by SQLSTATE, never by message text.
"""

from __future__ import annotations

from dataclasses import dataclass

from trickle_runtime import errors

TRANSIENT = "transient"
PERMANENT = "permanent"
GONE = "gone"  # a source is missing or unusable: status error, until somebody changes something


@dataclass(frozen=True)
class Failure:
    """An error of one refresh, as it goes to the catalog."""

    kind: str
    code: str  # SQLSTATE, or the code of our error class
    message: str
    error: errors.TrickleError


def classify(error: errors.TrickleError) -> Failure:
    """Return what kind of failure ``error`` is."""
    if isinstance(error, errors.DatabaseError):
        kind = TRANSIENT if error.transient else PERMANENT
        return Failure(kind, error.sqlstate or error.code, str(error), error)
    if isinstance(error, (errors.SourceNotFound, errors.SourceChanged, errors.RowSecurity)):
        return Failure(GONE, error.code, str(error), error)
    return Failure(PERMANENT, error.code, str(error), error)
