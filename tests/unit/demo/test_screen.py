from __future__ import annotations

import io

from rich.console import Console

from trickle_runtime.demo import screen

FRESH = screen.Line("orders", 0.25, 0, "active", "DIFFERENTIAL", 1234, 3.14)
NEVER = screen.Line("lines", None, 1500, "BLOWN", "-", 0, 0.0)


def test_cells():
    assert FRESH.cells() == ("orders", "0.2 s", "0", "active", "DIFFERENTIAL", "1,234", "3.1")
    assert NEVER.cells() == ("lines", "-", "1,500", "BLOWN", "-", "0", "0.0")


def printed(console, thing):
    console.print(thing)
    return console.file.getvalue()


def test_table_shows_every_line():
    console = Console(file=io.StringIO(), width=120)
    shown = printed(console, screen.table([FRESH, NEVER], "12 s left"))
    assert "orders" in shown
    assert "1,500" in shown
    assert "12 s left" in shown


def test_plain_lines_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), width=200)
    screen.watch(console, lambda: [FRESH, NEVER], 0.01, lambda: None)
    shown = console.file.getvalue()
    assert "1,500 changes pending" in shown
    assert "greatest lag 0.2 s" in shown


def test_check_is_asked():
    calls = []
    console = Console(file=io.StringIO())
    screen.watch(console, list, 0.01, lambda: calls.append(1))
    assert calls
