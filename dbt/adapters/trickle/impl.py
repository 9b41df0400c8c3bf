"""The adapter: what macros may call, one line each.

Invariant: no logic. A verb on a stream table is in ``stream_tables``, an operation in
``operations``; both know only ``trickle_runtime.api``, on a session over dbt's own connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import local
from typing import TYPE_CHECKING, Any

from dbt.adapters.base import available
from dbt.adapters.capability import Capability, CapabilityDict, CapabilitySupport, Support
from dbt.adapters.postgres.impl import PostgresAdapter

from dbt.adapters.trickle import catalog, gates, operations, replacements, stream_tables
from dbt.adapters.trickle.connections import StreamTables, TrickleConnectionManager
from dbt.adapters.trickle.errors import runtime_errors, warns
from dbt.adapters.trickle.indexes import IndexPlan, plan_indexes
from dbt.adapters.trickle.model_config import TrickleConfig
from dbt.adapters.trickle.relation import TrickleRelation
from dbt.adapters.trickle.relation_configs import (
    StreamTableChangeset,
    StreamTableConfig,
)
from dbt.adapters.trickle.session import DbtSession
from dbt.adapters.trickle.watching import fill_of, time_of, watched
from trickle_runtime.config import Schemas

if TYPE_CHECKING:
    import agate
    from dbt.adapters.contracts.relation import RelationConfig

    from trickle_runtime.api import FillProgress, Runtime
    from trickle_runtime.errors import View


class TrickleAdapter(PostgresAdapter):
    """dbt-postgres with stream tables."""

    ConnectionManager = TrickleConnectionManager
    Relation = TrickleRelation
    AdapterSpecificConfigs = TrickleConfig
    connections: TrickleConnectionManager

    _capabilities = CapabilityDict(
        {
            Capability.SchemaMetadataByRelations: CapabilitySupport(support=Support.Full),
            Capability.TableLastModifiedMetadata: CapabilitySupport(support=Support.Full),
            Capability.TableLastModifiedMetadataBatch: CapabilitySupport(support=Support.Full),
        }
    )

    def __init__(self, config: Any, mp_context: Any) -> None:
        super().__init__(config, mp_context)
        self._installed = False
        self._checked = False
        self._refreshed = False
        self._created = local()

    # What dbt calls.

    def list_relations_without_caching(
        self, schema_relation: TrickleRelation
    ) -> list[TrickleRelation]:
        """List relations with the type of stream tables; none without a right on the catalog."""
        relations = super().list_relations_without_caching(schema_relation)
        if not relations or not self.trickle_installed():
            return relations
        arguments = {"schema": schema_relation.schema}
        known = self.execute_macro("trickle_list_stream_tables", kwargs=arguments)
        return catalog.label_relations(relations, [tuple(row) for row in known])

    def cleanup_connections(self) -> None:
        """At the end of a run that refreshed, delete the changes that all consumers have seen."""
        if self._refreshed:
            self._refreshed = False
            with self.connection_named("trickle_cleanup"):
                self._clean_up()
        super().cleanup_connections()

    def pre_model_hook(self, config: Mapping[str, Any]) -> None:
        """Forget what an earlier model of this thread created."""
        self._created.relation = None

    def post_model_hook(self, config: Any, context: Any) -> None:
        """Drop a stream table whose model failed; capture a table that took a source's place."""
        relation = getattr(self._created, "relation", None)
        self._created.relation = None
        if relation is not None:
            self._undo_creation(relation)
        model = getattr(config, "model", None)
        if self._installed and replacements.may_replace(model) and not self._in_transaction():
            self._recapture(self.Relation.create_from(self.config, model))

    # What macros call about stream tables.

    @available.parse_none
    def stream_table_config(self, model: RelationConfig) -> StreamTableConfig:
        """Read and check what a model says of its stream table."""
        desired = StreamTableConfig.from_relation_config(model)
        full = self.config.credentials.stream_tables == StreamTables.full
        return desired.with_mode("full") if full else desired

    @available.parse(lambda *_, **__: [])
    def trickle_gate_tests(self, unique_id: str) -> list[dict[str, Any]]:
        """Return the compiled tests of severity error that read a model."""
        return gates.compiled_tests(self.config, self.get_macro_resolver(), unique_id)

    @available.parse_none
    @runtime_errors
    def stream_table_create(self, relation: TrickleRelation, desired: StreamTableConfig) -> str:
        """Create a stream table where nothing is."""
        return self._create(relation, desired, replace=False)

    @available.parse_none
    @runtime_errors
    def stream_table_replace(
        self, existing: TrickleRelation, relation: TrickleRelation, desired: StreamTableConfig
    ) -> str:
        """Create a stream table in place of another kind of relation."""
        message = self._create(relation, desired, replace=True)
        self.cache_dropped(existing)
        return message

    @available.parse_none
    @runtime_errors
    def stream_table_changes(
        self,
        relation: TrickleRelation,
        desired: StreamTableConfig,
        described: Mapping[str, Any],
        indexes: Iterable[Mapping[str, Any]],
    ) -> StreamTableChangeset | None:
        """Compare a stream table with its model and the indexes that it names."""
        name = _name(relation)
        return stream_tables.changes(self._runtime(), name, desired, described, indexes)

    @available.parse_none
    @runtime_errors
    def stream_table_alter(
        self, relation: TrickleRelation, desired: StreamTableConfig, changes: StreamTableChangeset
    ) -> str:
        """Apply what changed."""
        name, drop_views = _name(relation), self._drop_views(relation)
        with watched(time_of("Altering", name)):
            return stream_tables.alter(self._runtime(), name, desired, changes, drop_views)

    @available.parse_none
    @runtime_errors
    def stream_table_rebuild(self, relation: TrickleRelation, desired: StreamTableConfig) -> str:
        """Compute every row anew."""
        name, drop_views = _name(relation), self._drop_views(relation)
        with watched(time_of("Rebuilding", name)):
            return stream_tables.rebuild(self._runtime(), name, desired, drop_views)

    @available.parse_none
    @runtime_errors
    def stream_table_refresh(
        self, relation: TrickleRelation, desired: StreamTableConfig, described: Mapping[str, Any]
    ) -> stream_tables.Outcome:
        """Refresh unless something else does."""
        name = _name(relation)
        with watched(time_of("Refreshing", name)):
            return stream_tables.refresh(self._runtime(), name, desired, described)

    @available.parse_none
    @runtime_errors
    def stream_table_drop(self, relation: TrickleRelation) -> None:
        """Drop a stream table and all that was kept for it.

        Commits first: a verb of the runtime that finds nothing to do rolls back.
        """
        self.trickle_commit()
        stream_tables.drop(self._runtime(), _name(relation))

    @available.parse_none
    def stream_table_confirm(self, relation: TrickleRelation) -> None:
        """Note that the model which created ``relation`` has succeeded."""
        self._created.relation = None

    @available.parse_none
    @runtime_errors
    def trickle_release_schema(self, schema: str) -> None:
        """Drop the stream tables of a schema that is about to be dropped."""
        if self.trickle_installed():
            stream_tables.release_schema(self._runtime(), schema)

    @available.parse(lambda *_, **__: [])
    @runtime_errors
    def trickle_operation(self, verb: str, arguments: Mapping[str, Any]) -> list[str]:
        """Run a verb of the runtime for a run-operation; lines to print."""
        return operations.run(self._runtime(), verb, arguments)

    @available.parse_none
    @runtime_errors
    def trickle_verify(self, relation: TrickleRelation) -> str | None:
        """Compare a stream table with its query; what differs, or None."""
        return stream_tables.verify(self._runtime(), _name(relation))

    # What macros call about anything else.

    @available.parse_none
    def trickle_commit(self) -> None:
        """Commit what dbt does not know to be open, too: ``run_query`` begins nothing by itself.

        dbt's own commit insists on an open transaction, which the runtime may have committed.
        """
        DbtSession(self.connections).commit()

    @available.parse(lambda *_, **__: False)
    def trickle_installed(self) -> bool:
        """Whether this role may read the catalog; asked again until it may."""
        if not self._installed:
            self._installed = bool(self.execute_macro("trickle_catalog_readable"))
        return self._installed

    @available.parse_none
    @runtime_errors
    def trickle_check(self) -> None:
        """See, once in a run, that an installed catalog fits this program."""
        if not self._checked and self.trickle_installed():
            self._runtime().check()
            self._checked = True

    @available.parse_none
    def trickle_first_row(self, table: agate.Table) -> dict[str, Any] | None:
        """Return the first row of a query's result as a dictionary."""
        rows = table.rows
        return dict(zip(table.column_names, rows[0].values(), strict=True)) if rows else None

    @available.parse_none
    def trickle_index_plan(
        self, found: str | None, wanted: Iterable[Mapping[str, Any]]
    ) -> IndexPlan:
        """Decide which indexes to create and to drop."""
        return plan_indexes(found, wanted)

    @available.parse_none
    def trickle_label_catalog(self, table: agate.Table, facts: agate.Table) -> agate.Table:
        """Give stream tables their type and statistics in dbt's documentation."""
        return catalog.label_catalog(table, facts)

    @warns("a stream table whose model failed was not dropped")
    def _undo_creation(self, relation: TrickleRelation) -> None:
        self.connections.rollback_if_open()
        stream_tables.drop(self._runtime(), _name(relation))

    @warns("the stream tables that read it will capture it at their next refresh only")
    def _recapture(self, relation: TrickleRelation) -> None:
        if self.execute_macro("trickle_is_replaced_source", kwargs={"relation": relation}):
            replacements.recapture(self._runtime(), _name(relation))

    def _in_transaction(self) -> bool:
        """Whether the model has ended without its commit: it failed."""
        connection = self.connections.get_if_exists()
        return connection is None or bool(connection.transaction_open)

    def _drop_views(self, relation: TrickleRelation) -> stream_tables.DropViews:
        """Return how to drop views on a stream table; committed with what comes next."""

        def drop_views(views: Sequence[View]) -> None:
            arguments = {"relation": relation, "views": views}
            self.execute_macro("trickle_drop_views", kwargs=arguments)

        return drop_views

    @warns("changes that every stream table has seen were not deleted")
    def _clean_up(self) -> None:
        self._runtime().cleanup()
        self._refreshed = False

    def _runtime(self) -> Runtime:
        """Return the runtime's api on this thread's connection.

        Imported late: compiler and driver cost start-up time that most dbt commands need not pay.
        """
        from trickle_runtime.api import Runtime

        self._refreshed = True
        schemas = Schemas(self.config.credentials.runtime_schema)
        return Runtime(DbtSession(self.connections), schemas)

    def _create(
        self, relation: TrickleRelation, desired: StreamTableConfig, *, replace: bool
    ) -> str:
        runtime = self._runtime()
        if not self.trickle_installed():
            stream_tables.install(runtime)
        with watched(fill_of(_name(relation), self._fills)):
            message = stream_tables.create(runtime, _name(relation), desired, replace=replace)
        # Where a relation was replaced, which is gone by now, the stream table is kept.
        self._created.relation = None if replace else relation
        return message

    def _fills(self) -> Sequence[FillProgress]:
        """Ask how far fills are, in the watching thread."""
        with self.connection_named("trickle_progress"):
            return self._runtime().fills()


def _name(relation: TrickleRelation) -> tuple[str, str]:
    return str(relation.schema), str(relation.identifier)
