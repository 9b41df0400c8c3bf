from __future__ import annotations

from types import SimpleNamespace

from trickle_runtime.bench.many import CountingSession


class Inner:
    def __init__(self, status):
        status = SimpleNamespace(name=status)
        self.connection = SimpleNamespace(info=SimpleNamespace(transaction_status=status))

    def execute(self, sql, params=None):
        return [{"sql": sql, "params": params}]

    def commit(self):
        pass

    def rollback(self):
        pass


def test_statements_are_passed_on_and_counted():
    session = CountingSession(Inner("IDLE"))
    assert session.execute("SELECT 1", {"a": 1}) == [{"sql": "SELECT 1", "params": {"a": 1}}]
    assert session.calls == 1


def test_ending_no_transaction_costs_nothing():
    session = CountingSession(Inner("IDLE"))
    session.commit()
    session.rollback()
    assert session.calls == 0


def test_ending_a_transaction_is_a_round_trip():
    session = CountingSession(Inner("INTRANS"))
    session.commit()
    assert session.calls == 1
