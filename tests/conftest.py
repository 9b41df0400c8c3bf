from __future__ import annotations

pytest_plugins = ("tests.fix_server", "tests.fix_db", "tests.fix_wait")
