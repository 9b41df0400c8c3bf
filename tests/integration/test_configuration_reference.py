from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from trickle_runtime.config import StreamTableOptions

if TYPE_CHECKING:
    from trickle_runtime.db.connection import PsycopgSession

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "configuration.md"


def rows(heading: str) -> list[list[str]]:
    """The table rows of a section of the page, without the head."""
    section = PAGE.read_text().split(f"## {heading}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_has_every_option_of_a_stream_table() -> None:
    documented = [row[0].strip("`") for row in rows("Options of a stream table")]
    assert documented == [field.name for field in fields(StreamTableOptions)]


def test_the_page_has_every_setting_with_its_default(session: PsycopgSession) -> None:
    in_catalog = session.execute(
        "SELECT name, value, description FROM pgtrickle.pgt_settings ORDER BY name"
    )
    documented = [
        [re.sub("`", "", cell) for cell in row] for row in rows("Settings of a database")
    ]
    assert documented == [[row["name"], row["value"], row["description"]] for row in in_catalog]
