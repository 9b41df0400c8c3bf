from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from trickle_runtime.cli import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("integration_tests/*.md")]
)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"^(?:\w+=\S+ )*(trickle-runtime .+)$", re.MULTILINE)
MADE_FROM_CODE = "<!-- Made by docs/generate.py"


def example_commands() -> list[tuple[str, str]]:
    """The lines of code blocks that call our command, with their pages."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        text = page.read_text()
        if MADE_FROM_CODE not in text:
            blocks = "\n".join(text.split("```")[1::2])
            found += [(page.name, match) for match in COMMAND.findall(blocks)]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not broken


def test_every_page_is_linked_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert {page for page in PAGES if page.is_relative_to(index.parent)} - {index} <= linked


@pytest.mark.parametrize(("page", "command"), example_commands())
def test_commands_in_the_pages_are_understood(page: str, command: str) -> None:
    words = shlex.split(command.split("…")[0], comments=True)[1:]
    # An unknown option is an error before help is given.
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0, result.output
