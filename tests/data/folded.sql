-- The folded stacks of a recording, as `quell report -o x.folded` writes them. Run it inside the recording:
--   cd x.quell && duckdb -list -noheader < folded.sql
WITH RECURSIVE
names AS (
    SELECT frame_id,
           replace(coalesce(name, '[' || coalesce(parse_filename(module), if(kind = 'kernel', 'kernel', 'unknown')) || ']'),
                   ';', ':') || if(kind = 'kernel', '_[k]', '') AS name
    FROM 'frames.parquet'
),
-- Each stack from its outermost frame inwards.
paths AS (
    SELECT stack_id, name AS path
    FROM 'stacks.parquet' JOIN names USING (frame_id)
    WHERE parent_id IS NULL
    UNION ALL
    SELECT stacks.stack_id, paths.path || ';' || names.name
    FROM paths JOIN 'stacks.parquet' AS stacks ON stacks.parent_id = paths.stack_id JOIN names USING (frame_id)
),
-- Of what a sample stands for, its own length was seen; the rest is scaled so that each thread and reason adds up to what was
-- counted. A sleep that goes on is in no count.
exact AS (
    SELECT pid, tid, any_value(comm) AS comm, split_part(name, '.', 2) AS reason, sum(value) AS ns
    FROM 'counters.parquet'
    WHERE name LIKE 'offcpu.%.ns'
    GROUP BY pid, tid, reason
),
estimated AS (
    SELECT pid, tid, reason, sum(value_ns) AS seen, sum(value_ns / probability - value_ns) AS unseen
    FROM 'samples.parquet'
    WHERE NOT still_blocked
    GROUP BY pid, tid, reason
),
weighted AS (
    -- The innermost frames of a switch and of the tracepoint on it are no part of what the thread did.
    SELECT kind, reason, comm,
           regexp_replace(
               coalesce(path, '[stack not walked]'),
               '(;(__schedule|schedule|(bpf_prog_|bpf_trace_run|__bpf_trace_|__traceiter_)[^;]*)_\[k\])+$', '') AS path,
           value_ns + (value_ns / probability - value_ns)
               * if(still_blocked, 1, coalesce(greatest(exact.ns - seen, 0) / nullif(unseen, 0), 1)) AS ns
    FROM 'samples.parquet'
    LEFT JOIN paths USING (stack_id)
    LEFT JOIN (SELECT pid, tid, reason, ns FROM exact) AS exact USING (pid, tid, reason)
    LEFT JOIN estimated USING (pid, tid, reason)
    UNION ALL
    SELECT 'off-cpu', reason, comm, '[not sampled]', ns - coalesce(seen, 0)
    FROM exact LEFT JOIN estimated USING (pid, tid, reason)
    WHERE ns > coalesce(seen, 0) AND coalesce(unseen, 0) = 0
)
SELECT concat(if(kind = 'on-cpu', 'on-CPU', 'off-CPU ' || reason), ';', replace(comm, ';', ':'), ';', path, ' ',
              round(sum(ns))::BIGINT) AS line
FROM weighted
GROUP BY kind, reason, comm, path
HAVING round(sum(ns)) > 0
ORDER BY line;
