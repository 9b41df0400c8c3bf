from __future__ import annotations


def test_create_refresh_verify(rt, session, oracle):
    session.execute("CREATE TABLE t (id int PRIMARY KEY, g text, v int); INSERT INTO t SELECT i, 'g' || i % 3, i FROM generate_series(1, 30) i")
    session.commit()
    info = rt.create_stream_table("public.s", "SELECT g, count(*) AS n, sum(v) AS total FROM t GROUP BY g")
    assert info.effective_mode == "differential", info
    oracle(rt, "public.s")
    session.execute("UPDATE t SET v = v + 1 WHERE id < 10; DELETE FROM t WHERE id = 20; INSERT INTO t VALUES (100, 'new', 5)")
    session.commit()
    result = rt.refresh("public.s")
    print(result)
    oracle(rt, "public.s")
    assert rt.verify("s").equal
    print(rt.refresh("s"))
    print(rt.status())
