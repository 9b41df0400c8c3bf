EXCEPTION WHEN OTHERS THEN
    -- Transient: the writer's own business, and a retry may succeed.
    IF SQLSTATE ~ '^(40|53|57)' OR SQLSTATE = '55P03' THEN
        RAISE;
    END IF;
    PERFORM pgtrickle.pgt_capture_failed({relid}, SQLSTATE, SQLERRM);
    RETURN NULL;
