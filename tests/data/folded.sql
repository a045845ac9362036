-- The folded stacks of a recording, as `quell report -o x.folded` writes them. Run it inside the recording:
--   cd x.quell && duckdb -list -noheader < folded.sql
WITH RECURSIVE
-- The first frame of each stack: the probe, with the metric if the probe has several.
metrics AS (
    SELECT metric.name AS metric,
           probe.label || if(count(*) OVER (PARTITION BY probe.name) > 1, ' ' || metric.label, '')
               || if(metric.unit = 'nanoseconds', '', ' [' || metric.unit || ']') AS label
    FROM (SELECT unnest(metrics) AS metric FROM read_json('meta.json'))
    JOIN (SELECT unnest(probes) AS probe FROM read_json('meta.json')) ON metric.probe = probe.name
),
-- A function, and behind it those that were inlined into it. The innermost has depth 0.
functions AS (
    SELECT frame_id, kind, 64 AS depth,
           coalesce(name, '[unknown in ' || coalesce(parse_filename(module), if(kind = 'kernel', 'kernel', NULL)) || ']', '[unknown]') AS name
    FROM 'frames.parquet'
    UNION ALL
    SELECT frame_id, kind, depth, inlined.name FROM 'inlined.parquet' AS inlined JOIN 'frames.parquet' USING (frame_id)
),
names AS (
    SELECT frame_id,
           string_agg(replace(name, ';', ':') || if(kind = 'kernel', '_[k]', ''), ';' ORDER BY depth DESC) AS name
    FROM functions
    GROUP BY frame_id
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
-- Of what a sample stands for, its own value was measured; the rest is scaled so that each thread and metric adds up to what
-- was counted, if it was. An interval that had not ended is in no counter.
exact AS (
    SELECT pid, tid, metric, any_value(comm) AS comm, sum("sum") AS total
    FROM 'counters.parquet'
    WHERE scope = 'thread'
    GROUP BY pid, tid, metric
),
estimated AS (
    SELECT pid, tid, metric, sum(value) AS seen, sum(value / probability - value) AS unseen
    FROM 'samples.parquet'
    WHERE NOT ongoing
    GROUP BY pid, tid, metric
),
weighted AS (
    -- The innermost frames of a switch and of the tracepoint on it are no part of what the thread did.
    SELECT metric, samples.comm,
           regexp_replace(
               coalesce(path, '[no stack]'),
               '(;(__schedule|schedule|(bpf_prog_|bpf_trace_run|__bpf_trace_|__traceiter_)[^;]*)_\[k\])+$', '') AS path,
           value + (value / probability - value)
               * if(ongoing OR total IS NULL, 1, coalesce(greatest(total - seen, 0) / nullif(unseen, 0), 1)) AS weight
    FROM 'samples.parquet' AS samples
    LEFT JOIN paths USING (stack_id)
    LEFT JOIN exact USING (pid, tid, metric)
    LEFT JOIN estimated USING (pid, tid, metric)
    UNION ALL
    SELECT metric, comm, '[no stack: counted only]', total - coalesce(seen, 0)
    FROM exact LEFT JOIN estimated USING (pid, tid, metric)
    WHERE total > coalesce(seen, 0) AND coalesce(unseen, 0) = 0
)
SELECT concat(label, ';', replace(comm, ';', ':'), ';', path, ' ', round(sum(weight))::BIGINT) AS line
FROM weighted JOIN metrics USING (metric)
GROUP BY label, comm, path
HAVING round(sum(weight)) > 0
ORDER BY line;
