"""Text that breaks careless embedding: comments at the end, ``%``, dollar quotes, odd names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional import observe

HEAD = "{{ config(materialized='stream_table') }}\n"
BODIES = {
    "line_comment": "select id from {schema}.numbers -- the end",
    "block_comment": "select id from {schema}.numbers /* the end; */",
    "percent": "select id, '100%' as a, '%s%(x)s' as b, id % 2 as c from {schema}.numbers",
    "dollars": "select id, $q$ it's $$ $q$ as a from {schema}.numbers where name <> '$1'",
    "quotes": """select id, 'it''s "q" \\ ' as "a ""b"" c" from {schema}.numbers""",
    "upper_case": 'select id as "Id", name as "select" from {schema}.numbers',
    "unicode": "select id, 'ü→𝄞' as a, name as größe from {schema}.numbers",
    "semicolon_in_text": "select id, ';' as a from {schema}.numbers where name <> ';--'",
    "cte": "with n as (select id from {schema}.numbers) -- note\nselect id from n -- end",
    "braces": "select id, '{{ \"{{\" }}' as a from {schema}.numbers",
}
NAMES = ["Upper Case", "dotted.name", "it's", 'We"ird Name.x', "per%cent", "größe", "a" * 63]


class TestOddText:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,name\n1,a\n2,b\n2,b\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        body = {
            name: text.replace("{schema}.numbers", "{{ ref('numbers') }}")
            for name, text in BODIES.items()
        }
        return {f"{name}.sql": HEAD + text for name, text in body.items()}

    def test_every_text(self, project: Any) -> None:
        observe.run("seed")
        observe.run("run")
        observe.execute(project, "insert into {schema}.numbers values (3, 'c'), (4, '%')")
        observe.execute(project, "delete from {schema}.numbers where id = 1")
        messages = observe.run("run")
        for name, text in BODIES.items():
            query = text.replace('{{ "{{" }}', "{{")
            assert observe.difference(project, name, query) == [], name
            assert messages[name].startswith("STREAM TABLE refreshed"), messages[name]
        assert set(observe.run("run").values()) == {"STREAM TABLE unchanged"}


class TestOddNames:
    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"numbers.csv": "id,name\n1,a\n2,b\n"}

    @pytest.fixture(scope="class")
    def models(self) -> dict[str, str]:
        text = "{{{{ config(materialized='stream_table', alias={alias!r}) }}}}\n{body}"
        found = {}
        for number, alias in enumerate(NAMES):
            source = f"model_{number - 1}" if number else "numbers"
            body = f"select id, name from {{{{ ref('{source}') }}}}"
            found[f"model_{number}.sql"] = text.format(alias=alias, body=body)
        return found

    def test_every_name(self, project: Any) -> None:
        observe.run("seed")
        observe.run("run")
        observe.execute(project, "insert into {schema}.numbers values (3, 'c')")
        observe.run("run")
        for alias in NAMES:
            name = '"{}"'.format(alias.replace('"', '""'))
            assert observe.difference(project, name, "select id, name from {schema}.numbers") == []
        assert set(observe.run("run").values()) == {"STREAM TABLE unchanged"}
        assert observe.orphans(project) == []
