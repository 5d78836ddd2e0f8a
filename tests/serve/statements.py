"""Statements as BI tools write them for PostgreSQL, over fine_tuning_jobs and the view jobs.

PostgreSQL and SQLite run each of them. With ORDER BY the order of the rows is compared too.
"""

from __future__ import annotations

SUPERSET = """
SELECT DATE_TRUNC('day', to_timestamp(created_at)) AS __timestamp, COUNT(*) AS count FROM public.fine_tuning_jobs WHERE to_timestamp(created_at) >= TO_TIMESTAMP('2020-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US') AND to_timestamp(created_at) < TO_TIMESTAMP('2030-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US') GROUP BY DATE_TRUNC('day', to_timestamp(created_at)) ORDER BY count DESC, 1 LIMIT 50000
SELECT DATE_TRUNC('week', created) AS created, status AS status, COUNT(*) AS "COUNT(*)" FROM public.jobs JOIN (SELECT status AS status__, COUNT(*) AS mme_inner__ FROM public.jobs GROUP BY status ORDER BY mme_inner__ DESC, status LIMIT 3) AS series_limit ON status = status__ GROUP BY DATE_TRUNC('week', created), status ORDER BY "COUNT(*)" DESC, 1, 2 LIMIT 1000
SELECT status AS status, model AS model, sum(trained_tokens) AS "SUM(trained_tokens)", count(DISTINCT id) AS "COUNT_DISTINCT(id)" FROM (SELECT * FROM fine_tuning_jobs WHERE trained_tokens IS NOT NULL) AS virtual_table GROUP BY status, model ORDER BY "SUM(trained_tokens)" DESC, 2 LIMIT 100
SELECT DATE_TRUNC('month', ts) AS __timestamp, AVG(minutes) AS "AVG(minutes)" FROM (SELECT to_timestamp(created_at) AS ts, (finished_at - created_at) / 60.0 AS minutes FROM fine_tuning_jobs) AS virtual_table WHERE ts >= '2020-01-01 00:00:00.000000' GROUP BY DATE_TRUNC('month', ts) ORDER BY 1
SELECT min(created_at) AS min, max(created_at) AS max, count(*) FROM public.fine_tuning_jobs
SELECT status AS status FROM public.fine_tuning_jobs WHERE status ILIKE '%ED%' GROUP BY status ORDER BY status ASC LIMIT 1000
SELECT CAST(created AS DATE) AS d, count(*) AS c FROM jobs WHERE created >= '2020-01-01'::timestamp GROUP BY CAST(created AS DATE) ORDER BY d DESC LIMIT 7
SELECT count(*) AS "COUNT(*)" FROM public.jobs WHERE status IN ('succeeded', 'failed') AND model LIKE 'gpt-4%' AND (minutes > 1 OR minutes IS NULL)
SELECT CASE WHEN status = 'succeeded' THEN 'ok' WHEN status IN ('failed', 'cancelled') THEN 'bad' ELSE NULL END AS outcome, COUNT(*) AS n FROM jobs GROUP BY CASE WHEN status = 'succeeded' THEN 'ok' WHEN status IN ('failed', 'cancelled') THEN 'bad' ELSE NULL END ORDER BY n DESC, outcome
"""

METABASE = """
SELECT "source"."created" AS "created", COUNT(*) AS "count" FROM (SELECT DATE_TRUNC('month', "public"."jobs"."created") AS "created" FROM "public"."jobs") AS "source" GROUP BY "source"."created" ORDER BY "source"."created" ASC
SELECT DATE_TRUNC('quarter', to_timestamp("public"."fine_tuning_jobs"."created_at")) AS "created_at", SUM("public"."fine_tuning_jobs"."trained_tokens") AS "sum" FROM "public"."fine_tuning_jobs" GROUP BY DATE_TRUNC('quarter', to_timestamp("public"."fine_tuning_jobs"."created_at")) ORDER BY DATE_TRUNC('quarter', to_timestamp("public"."fine_tuning_jobs"."created_at")) ASC
SELECT (DATE_TRUNC('week', (created + INTERVAL '1 day')) + INTERVAL '-1 day') AS week, COUNT(*) AS n FROM jobs GROUP BY (DATE_TRUNC('week', (created + INTERVAL '1 day')) + INTERVAL '-1 day') ORDER BY week
SELECT CAST(extract(dow from "public"."jobs"."created") AS integer) + 1 AS "dow", COUNT(*) AS "count" FROM "public"."jobs" GROUP BY CAST(extract(dow from "public"."jobs"."created") AS integer) + 1 ORDER BY 1
SELECT COUNT(*) AS "count" FROM "public"."jobs" WHERE "public"."jobs"."created" >= DATE_TRUNC('day', (NOW() + INTERVAL '-5000 day')) AND "public"."jobs"."created" < DATE_TRUNC('day', NOW() + INTERVAL '1 day')
SELECT COUNT(*) AS "count" FROM fine_tuning_jobs WHERE to_timestamp(created_at) BETWEEN timestamp with time zone '2020-01-01 00:00:00.000Z' AND timestamp with time zone '2029-12-31 00:00:00.000Z'
SELECT "public"."fine_tuning_jobs"."id" AS "id", SUBSTRING("public"."fine_tuning_jobs"."model", 1, 1234) AS "substring7" FROM "public"."fine_tuning_jobs" ORDER BY "public"."fine_tuning_jobs"."id" ASC LIMIT 20 OFFSET 5
SELECT FLOOR((minutes / 10.0)) * 10.0 AS bin, COUNT(*) AS n FROM jobs GROUP BY FLOOR((minutes / 10.0)) * 10.0 ORDER BY bin
SELECT PERCENTILE_CONT(0.5) within group (order by trained_tokens) AS median, PERCENTILE_CONT(0.95) within group (order by trained_tokens) AS p95 FROM fine_tuning_jobs WHERE status = 'succeeded'
SELECT COUNT(*) AS count, SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0.0 END) / CASE WHEN COUNT(*) = 0 THEN NULL ELSE COUNT(*) END AS share FROM jobs
SELECT COUNT(CASE WHEN status = 'failed' THEN 1 END) FROM jobs WHERE (LOWER(model) LIKE '%mini%') AND (status <> 'queued' OR status IS NULL)
SELECT concat(provider, ':', status) AS label, count(*) FROM jobs GROUP BY concat(provider, ':', status) ORDER BY 2 DESC, 1
"""

GRAFANA = """
SELECT to_timestamp(created_at) AS "time", trained_tokens AS value, model AS metric FROM fine_tuning_jobs WHERE to_timestamp(created_at) BETWEEN '2020-01-01T00:00:00Z' AND '2029-01-01T00:00:00Z' ORDER BY 1, id LIMIT 30
SELECT floor(extract(epoch from to_timestamp(created_at))/300)*300 AS "time", count(*) AS value FROM fine_tuning_jobs WHERE created_at >= 1500000000 AND created_at <= 1990000000 GROUP BY 1 ORDER BY 1 LIMIT 20
SELECT floor((created_at)/86400)*86400 AS "time", avg(trained_tokens) AS value FROM fine_tuning_jobs GROUP BY 1 ORDER BY 1
SELECT extract(epoch from date_trunc('hour', to_timestamp(created_at)))::bigint AS "time", status AS metric, count(*) FROM fine_tuning_jobs GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 40
SELECT (created_at/3600)*3600 AS t, count(*) FROM fine_tuning_jobs GROUP BY t ORDER BY t DESC LIMIT 10
SELECT date_bin('1 day', to_timestamp(created_at), TIMESTAMPTZ '2001-01-01') AS time, count(*) FROM fine_tuning_jobs GROUP BY 1 ORDER BY 1
SELECT d.day, count(j.id) FROM generate_series(date '2026-11-01', date '2026-11-05', interval '1 day') AS d(day) LEFT JOIN fine_tuning_jobs j ON date_trunc('day', to_timestamp(j.created_at)) = d.day GROUP BY d.day ORDER BY d.day
SELECT n FROM generate_series(1, 10, 3) AS n ORDER BY n DESC
SELECT DISTINCT status FROM fine_tuning_jobs WHERE model = ANY(ARRAY['gpt-4o-mini-2024-07-18', 'gpt-4.1-2025-04-14']) ORDER BY status
SELECT DISTINCT provider FROM jobs WHERE status <> ALL('{failed,cancelled}') ORDER BY 1
"""

TABLEAU = """
SELECT "jobs"."status" AS "status", SUM(1) AS "cnt:jobs:ok" FROM "public"."jobs" "jobs" GROUP BY 1 ORDER BY 1
SELECT DATE_TRUNC( 'MONTH', CAST("jobs"."created" AS TIMESTAMP) ) AS "tmn:created:ok", AVG(CAST("jobs"."minutes" AS DOUBLE PRECISION)) AS "avg:minutes:ok" FROM "public"."jobs" "jobs" GROUP BY 1 ORDER BY 1
SELECT CAST(TRUNC(EXTRACT(YEAR FROM "jobs"."created")) AS INTEGER) AS "yr:created:ok", CAST(TRUNC(EXTRACT(QUARTER FROM "jobs"."created")) AS INTEGER) AS q, COUNT(DISTINCT "jobs"."id") AS "ctd:id:ok" FROM "public"."jobs" "jobs" GROUP BY 1, 2 ORDER BY 1, 2
SELECT COUNT(1) AS n FROM "public"."jobs" "jobs" WHERE (("jobs"."created" >= (TIMESTAMP '2020-11-01 00:00:00.000')) AND ("jobs"."created" < (TIMESTAMP '2029-11-30 23:59:59.000')))
SELECT "t0"."model" AS "model", "t0"."n" AS "n" FROM (SELECT "jobs"."model" AS "model", COUNT(1) AS "n" FROM "public"."jobs" "jobs" GROUP BY 1 HAVING (COUNT(1) > 2)) "t0" ORDER BY "n" DESC NULLS LAST, 1
SELECT (CASE WHEN (NOT ("jobs"."status" IS NULL)) THEN UPPER("jobs"."status") ELSE CAST(NULL AS TEXT) END) AS s, MAX("jobs"."minutes") FROM jobs GROUP BY 1 ORDER BY 1 DESC
SELECT TIMESTAMP 'epoch' + created_at * INTERVAL '1 second' AS t FROM fine_tuning_jobs WHERE TIMESTAMP 'epoch' + created_at * INTERVAL '1 second' >= '2020-01-01' ORDER BY id LIMIT 5
"""

POWER_BI = """
select "_"."status", "_"."a0" from (select "status", count(1) as "a0" from "public"."jobs" group by "status") "_" where not "_"."a0" is null order by "_"."a0" desc, 1 limit 1001
select "$Table"."id" as "id", "$Table"."model" as "model" from "public"."jobs" "$Table" order by 1 limit 4096
select count(distinct("rows"."model")) + max(case when "rows"."model" is null then 1 else 0 end) as "a0" from (select "model" from "public"."jobs") "rows"
select "rows"."created" as "created", sum(cast("rows"."trained_tokens" as decimal)) as "a0" from (select date_trunc('month', "created") as "created", "trained_tokens" from "public"."jobs" "_" where "_"."created" >= timestamp '2020-01-01 00:00:00' and "_"."created" < timestamp '2030-01-01 00:00:00') "rows" group by "created" order by 1
"""

ANALYSTS = """
SELECT status, count(*) FILTER (WHERE model LIKE 'gpt-4o%') AS four_o, count(*) FILTER (WHERE trained_tokens > 1000) AS big FROM fine_tuning_jobs GROUP BY status ORDER BY status
SELECT DISTINCT ON (model) model, id, created_at FROM fine_tuning_jobs ORDER BY model, created_at DESC, id
SELECT DISTINCT ON (status) * FROM jobs ORDER BY status, created DESC, id LIMIT 3
SELECT id, rank() OVER (PARTITION BY model ORDER BY trained_tokens DESC, id) AS r, lag(id) OVER (PARTITION BY model ORDER BY created_at, id) AS previous FROM fine_tuning_jobs ORDER BY id
SELECT id, sum(trained_tokens) OVER (ORDER BY created_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running FROM fine_tuning_jobs ORDER BY created_at, id
WITH daily AS (SELECT date_trunc('day', to_timestamp(created_at)) AS day, count(*) AS n FROM fine_tuning_jobs GROUP BY 1), ranked AS (SELECT day, n, row_number() OVER (ORDER BY n DESC, day) AS place FROM daily) SELECT day, n FROM ranked WHERE place <= 3 ORDER BY place
SELECT id, finished_at FROM fine_tuning_jobs ORDER BY finished_at, id LIMIT 15
SELECT id, finished_at FROM fine_tuning_jobs ORDER BY finished_at DESC, id LIMIT 15
SELECT id, finished_at FROM fine_tuning_jobs ORDER BY finished_at ASC NULLS FIRST, id FETCH FIRST 15 ROWS ONLY
SELECT id, finished_at FROM fine_tuning_jobs ORDER BY finished_at DESC NULLS LAST, id OFFSET 5 ROWS FETCH NEXT 5 ROWS ONLY
SELECT to_timestamp(finished_at) - to_timestamp(created_at) AS took, id FROM fine_tuning_jobs ORDER BY took DESC NULLS LAST, id LIMIT 10
SELECT avg(to_timestamp(finished_at) - to_timestamp(created_at)) > interval '1 minute' AS slow, max(to_timestamp(finished_at) - to_timestamp(created_at)) AS longest FROM fine_tuning_jobs
SELECT count(*) FROM fine_tuning_jobs WHERE to_timestamp(finished_at) - to_timestamp(created_at) > interval '1 hour 30 minutes'
SELECT to_char(to_timestamp(created_at), 'YYYY-MM') AS month, to_char(count(*), 'FM999,999') AS n FROM fine_tuning_jobs GROUP BY 1 ORDER BY 1
SELECT to_char(created, 'Mon DD, YYYY HH12:MI AM'), to_char(created, 'Day'), to_char(created, 'FMMonth FMDDth "week" IW'), to_char(created, 'D ID DDD Q') FROM jobs ORDER BY id LIMIT 10
SELECT to_char(1234.5, '9,999.99'), to_char(-0.5, '0.00'), to_char(12, '00000'), to_char(0.126, 'FM990.00'), to_char(1234567, '9G999G999'), to_char(5, '9'), to_char(0, '9'), to_char(-7, 'S9') <> '', to_char(99, '9')
SELECT id, error ->> 'message' AS message, (hyperparameters ->> 'n_epochs') AS epochs, method -> 'type' AS kind FROM fine_tuning_jobs WHERE error ->> 'message' IS NOT NULL OR status = 'succeeded' ORDER BY id
SELECT error #>> '{message}' AS m, count(*) FROM fine_tuning_jobs GROUP BY 1 ORDER BY 1
SELECT string_agg(DISTINCT status, ', ') AS statuses, string_agg(id, '|' ORDER BY id DESC) AS ids, array_agg(DISTINCT model ORDER BY model) AS models FROM fine_tuning_jobs
SELECT bool_and(created_at > 0), bool_or(status = 'failed'), every(id IS NOT NULL) FROM fine_tuning_jobs
SELECT 7 / 2, -7 / 2, 7 % 3, -7 % 3, 7 / 2.0, 7::float / 2, 7::numeric / 2, 2 ^ 3, round(2.5), round(-2.5), round(2.5::float8), round(2.345, 2), trunc(2.789, 1), ceil(1.2), floor(-1.2), 5 / 2 * 2
SELECT 2.5::int, 3.5::int, 2.5::float8::int, '12'::int, '1.50'::numeric, 1::bool, 'yes'::boolean, true::text, 'x'::varchar(3), 'abcdef'::varchar(3), 12.345::numeric(10, 1), NULL::text
SELECT 'a' || NULL, 'a' || 1, concat('a', NULL, 1), concat_ws('-', 'a', NULL, 'b'), NULL || 'x', 1 || 'x', coalesce(NULL, 'z')
SELECT E'it\\'s\\n', $$a 'quoted' one$$, $tag$two$tag$, 'semi;colon', U&'\\0061bc', 'it''s'
SELECT greatest(1, NULL, 3), least(2, NULL), nullif(1, 1), coalesce(NULL, 2), 1 IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL
SELECT split_part('a,b,c', ',', 2), left('abcdef', 2), right('abcdef', 2), left('abc', -1), right('abc', -1), lpad('7', 3, '0'), rpad('7', 3), initcap('hello big world'), md5('x'), reverse('abc'), repeat('ab', 2), strpos('hello', 'l'), position('lo' in 'hello'), length('abc'), substring('abcdef' from 2 for 3), substring('foobar' from 'o(.)b'), trim(both 'x' from 'xxaxx'), replace('aXb', 'X', '-'), upper('az'), overlay('abcdef' placing 'ZZ' from 2 for 3), chr(65), ascii('A'), translate('12345', '143', 'ax')
SELECT 'gpt-4o' ~ '^gpt', 'GPT' ~* 'gpt', 'abc' !~ 'b', 'abc' !~* 'B', 'a_c' LIKE 'a\\_c', 'abc' LIKE 'a_c', 'ABC' LIKE 'abc', 'ABC' ILIKE 'a%', 'abc' NOT ILIKE 'B%', 'a%c' LIKE 'a!%c' ESCAPE '!', 'abc' SIMILAR TO '(a|z)%', regexp_replace('a1b2', '[0-9]', '#', 'g'), 'a[b' LIKE 'a[b', 'a*b' LIKE 'a*%'
SELECT date '2026-01-31' + interval '1 month', timestamp '2024-02-29 12:00' - interval '1 year', date '2026-03-01' - 1, date '2026-03-01' + 7, date '2026-03-01' - date '2026-02-01', timestamp '2026-03-01 10:00' - timestamp '2026-02-27 12:30', interval '1 day' * 2.5, interval '3 hours' / 2, interval '1 year 2 months' + interval '-3 days', interval '90 minutes', - interval '1 day', interval '1 day' < interval '25 hours'
SELECT age(timestamp '2026-03-31', timestamp '2025-01-15 12:00'), date_part('epoch', interval '1 day 2 hours'), extract(day from interval '40 days 3 hours'), extract(hour from timestamp '2026-01-02 03:04:05.678'), extract(second from timestamp '2026-01-02 03:04:05.678'), extract(isodow from date '2026-11-22'), extract(week from date '2027-01-01'), extract(doy from date '2026-12-31'), extract(isoyear from date '2027-01-01'), extract(century from date '2000-01-01'), extract(epoch from timestamp '2026-01-01 00:00:00.5'), date_part('quarter', date '2026-05-01')
SELECT date_trunc('week', timestamp '2026-11-22 10:11:12.5'), date_trunc('minute', timestamp '2026-11-22 10:11:12.5'), date_trunc('decade', timestamp '2026-11-22'), date_trunc('century', timestamp '2000-11-22'), date_trunc('hour', interval '3 hours 40 minutes'), date_trunc('day', date '2026-01-02'), date_trunc('milliseconds', timestamp '2026-11-22 10:11:12.56789')
SELECT '2026-01-01'::date, '2026-01-01 10:00'::timestamp, '2026-01-01T10:00:00.120Z'::timestamptz, '2026-01-01 10:00:00+02'::timestamptz, '2026-01-01 10:00:00+02'::timestamp, '2026-01-01 23:59:59'::timestamp::date, '2026-01-01'::date::timestamp, to_date('01.02.2026', 'DD.MM.YYYY'), to_timestamp('2026-02-03 04:05', 'YYYY-MM-DD HH24:MI'), to_timestamp(1790000000.25), timestamp '2026-06-01 12:00' AT TIME ZONE 'Europe/Berlin', timestamptz '2026-06-01 12:00Z' AT TIME ZONE 'America/New_York', timestamptz '2026-06-01 12:00Z' AT TIME ZONE 'UTC', make_date(2026, 2, 3), '2026-01-01 10:00:00.126'::timestamp(2), (timestamptz '2026-06-01 12:00Z')::text, make_interval(days => 3, hours => 2)
SELECT timestamp '2026-01-01' = '2026-01-01', date '2026-01-01' = timestamp '2026-01-01 00:00:00', date '2026-01-01' < timestamp '2026-01-01 00:00:01', timestamp '2026-01-01 00:00:00.5' > '2026-01-01T00:00:00', timestamptz '2026-01-01 02:00:00+02' = '2026-01-01 00:00:00Z', date '2026-01-05' BETWEEN '2026-01-01' AND '2026-02-01', date '2026-01-05' IN ('2026-01-05', '2026-01-06')
SELECT status, count(*) AS n, round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS share FROM fine_tuning_jobs GROUP BY status ORDER BY n DESC, status
SELECT model, sum(trained_tokens) / count(*) AS mean, sum(trained_tokens)::float / nullif(count(finished_at), 0) AS per_done, stddev(trained_tokens) AS spread, variance(created_at % 1000) AS v, corr(created_at, finished_at) AS c FROM fine_tuning_jobs GROUP BY model ORDER BY model
SELECT mode() WITHIN GROUP (ORDER BY status) AS usual, percentile_disc(0.5) WITHIN GROUP (ORDER BY id) AS middle, percentile_disc(0.9) WITHIN GROUP (ORDER BY created_at DESC) AS late FROM fine_tuning_jobs
(SELECT id FROM fine_tuning_jobs ORDER BY id LIMIT 2) UNION ALL (SELECT id FROM fine_tuning_jobs ORDER BY id DESC LIMIT 2) ORDER BY id
SELECT status FROM fine_tuning_jobs WHERE model LIKE 'gpt-4o%' UNION SELECT status FROM jobs WHERE minutes > 5 ORDER BY status DESC
SELECT id FROM fine_tuning_jobs EXCEPT SELECT id FROM jobs WHERE status = 'failed' ORDER BY 1
SELECT j.id, k.n FROM fine_tuning_jobs AS j JOIN (SELECT model, count(*) AS n FROM fine_tuning_jobs GROUP BY model) AS k USING (model) WHERE (j.status, j.model) IN (('failed', 'gpt-4o-mini-2024-07-18'), ('succeeded', 'gpt-4.1-2025-04-14')) ORDER BY j.id
SELECT id FROM fine_tuning_jobs j WHERE EXISTS (SELECT 1 FROM jobs k WHERE k.id = j.id AND k.status = 'failed') AND created_at = (SELECT max(created_at) FROM fine_tuning_jobs WHERE status = 'failed') ORDER BY id
SELECT v.name, v.n FROM (VALUES ('a', 1), ('b', 2)) AS v(name, n) ORDER BY v.n DESC
SELECT count(*) FROM fine_tuning_jobs WHERE extract(epoch from to_timestamp(created_at)) >= 1500000000 AND date_trunc('month', to_timestamp(created_at)) <= '2026-12-01'
SELECT count(*) FROM fine_tuning_jobs WHERE to_timestamp(created_at)::date = '2026-11-20' OR to_timestamp(created_at)::date >= current_date - 5000
SELECT /* a /* nested */ comment */ STATUS, Count(*) -- and another
FROM Fine_Tuning_Jobs GROUP BY Status ORDER BY status
SELECT status, count(*) AS "N°", max(id) AS "ünï" FROM fine_tuning_jobs GROUP BY 1 HAVING count(*) >= ALL(ARRAY[1]) ORDER BY "N°" DESC, "ünï"
SELECT id, CASE status WHEN 'failed' THEN 0 ELSE 1 END AS ok, status = 'failed' AS failed, NOT (status = 'failed') AS fine FROM jobs WHERE (status = 'failed') IS NOT TRUE ORDER BY id LIMIT 8
SELECT CURRENT_DATE - 30 < CURRENT_DATE, NOW() > '2020-01-01', NOW() - INTERVAL '1 day' < NOW(), CURRENT_TIMESTAMP IS NOT NULL, LOCALTIMESTAMP > '2020-01-01', date_trunc('day', now()) <= now(), age(timestamp '2020-01-01') > interval '1 year'
WITH RECURSIVE days(day) AS (SELECT date '2026-11-01' UNION ALL SELECT (day + 1) FROM days WHERE day < '2026-11-04') SELECT day FROM days ORDER BY day
SELECT id, unnest(ARRAY['a', 'b']) AS u FROM fine_tuning_jobs ORDER BY id, u LIMIT 4
SELECT j.id, u FROM fine_tuning_jobs j, unnest(string_to_array(j.model, '-')) u ORDER BY j.id, u LIMIT 20
SELECT u, count(*) FROM jobs t, unnest(string_to_array(t.model, '-')) u GROUP BY u ORDER BY u
SELECT count(*) FROM fine_tuning_jobs j JOIN unnest(string_to_array(j.model, '-')) AS u ON true
SELECT count(*) FROM fine_tuning_jobs j CROSS JOIN unnest(string_to_array(j.model, '-')) AS u WHERE u = 'mini'
SELECT count(u), count(*) FROM fine_tuning_jobs j LEFT JOIN unnest(string_to_array(j.model, '-')) AS u ON true
SELECT j.id, s FROM fine_tuning_jobs j, generate_series(1, length(j.status)) AS s ORDER BY 1, 2 LIMIT 20
SELECT sum(s) FROM fine_tuning_jobs j JOIN generate_series(1, length(j.status), 2) AS s ON true
SELECT j.id, f FROM fine_tuning_jobs j, json_array_elements_text(j.result_files) AS f ORDER BY 1, 2 LIMIT 20
SELECT count(*) FROM fine_tuning_jobs j, json_array_elements_text(j.result_files) AS f WHERE j.status = 'succeeded'
SELECT id, unnested FROM fine_tuning_jobs, unnest(ARRAY[1, 2]) AS unnested ORDER BY id, unnested LIMIT 6
SELECT count(*) FROM fine_tuning_jobs a LEFT JOIN fine_tuning_jobs b ON a.finished_at = b.created_at WHERE b.id IS NULL
SELECT width_bucket(5.35, 0.024, 10.06, 5), div(7, 2), mod(7, 3), abs(-3), sign(-2.5), power(2, 10), sqrt(16), exp(0), ln(1), log(100), pi() > 3.14, random() < 1
SELECT array_to_string(ARRAY['a', 'b', NULL], ',', '*'), (ARRAY['x', 'y'])[2], array_length(ARRAY[1, 2, 3], 1), 2 = ANY(ARRAY[1, 2]), 3 > ALL(ARRAY[1, 2]), 'b' = ANY(string_to_array('a,b', ','))
"""

VARIED = """
SELECT date_part('day', finished - created), extract(epoch from (finished - created))/60 AS m, id FROM jobs ORDER BY id
SELECT created::text, finished::date::text, created || '', id || minutes::int FROM jobs ORDER BY id LIMIT 5
SELECT sum((status = 'failed')::int), avg((status = 'failed')::int)::numeric(10,3), sum(minutes)::numeric(12,2) FROM jobs
SELECT DISTINCT date_trunc('month', created) AS m FROM jobs ORDER BY m DESC
SELECT status FROM jobs WHERE model NOT IN (SELECT model FROM jobs WHERE status = 'failed') ORDER BY 1
SELECT count(*) FROM fine_tuning_jobs WHERE trained_tokens NOT IN (1, NULL)
SELECT finished - created AS d, count(*) FROM jobs GROUP BY finished - created ORDER BY 1 DESC NULLS LAST LIMIT 5
SELECT status, max(finished - created), min(finished - created), sum(finished - created), avg(finished - created) > interval '1 second' FROM jobs GROUP BY status ORDER BY status
SELECT created FROM jobs WHERE created > now() - interval '100 years' ORDER BY created DESC, id LIMIT 3
SELECT to_char(finished - created, 'HH24:MI:SS') AS t FROM jobs ORDER BY id LIMIT 10
SELECT created AT TIME ZONE 'UTC' AS a, (created AT TIME ZONE 'UTC') AT TIME ZONE 'Asia/Tokyo' AS b FROM jobs ORDER BY id LIMIT 3
SELECT date_trunc('day', to_timestamp(created_at) AT TIME ZONE 'America/New_York') AS d, count(*) FROM fine_tuning_jobs GROUP BY d ORDER BY d
SELECT count(*) AS n, status AS s FROM jobs GROUP BY s HAVING count(*) > 1 ORDER BY n DESC, s
SELECT EXTRACT(YEAR FROM created)::int AS year, EXTRACT(MONTH FROM created)::int AS month, COUNT(*) FROM jobs GROUP BY 1, 2 ORDER BY 1, 2
SELECT coalesce(fine_tuned_model, 'none') AS m, count(*) FROM jobs GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3
SELECT coalesce(finished, created) AS t, coalesce(finished, '2020-01-01') AS u FROM jobs ORDER BY id LIMIT 4
SELECT CASE WHEN finished IS NULL THEN created ELSE finished END AS t FROM jobs ORDER BY id LIMIT 4
SELECT minutes / 60 AS h, trained_tokens / 1000 AS k, trained_tokens / 1000.0 AS kk, trained_tokens::float / 7 AS f FROM jobs ORDER BY id LIMIT 5
SELECT 1 AS a UNION ALL SELECT NULL ORDER BY a
SELECT 1 AS a UNION ALL SELECT NULL ORDER BY a DESC
SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY status ORDER BY created DESC, id) AS rn FROM jobs) t WHERE rn = 1 ORDER BY id
SELECT status, count(*) FILTER (WHERE finished IS NULL) OVER (PARTITION BY status) AS n FROM jobs ORDER BY id LIMIT 3
SELECT first_value(id) OVER w, last_value(id) OVER w FROM jobs WINDOW w AS (PARTITION BY model ORDER BY created, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY id LIMIT 4
SELECT ntile(4) OVER (ORDER BY id), cume_dist() OVER (ORDER BY status), percent_rank() OVER (ORDER BY status), dense_rank() OVER (ORDER BY status) FROM jobs ORDER BY id LIMIT 4
SELECT id FROM jobs WHERE created::date BETWEEN '2026-01-01' AND '2027-01-01' AND id IN ('a', 'b') OR status = 'failed' ORDER BY id
SELECT id, lag(created) OVER (ORDER BY created, id) AS p, created - lag(created) OVER (ORDER BY created, id) AS gap FROM jobs ORDER BY created, id LIMIT 5
SELECT string_agg(trained_tokens::text, ',' ORDER BY id) FROM jobs WHERE status = 'succeeded'
SELECT array_agg(status ORDER BY id) FILTER (WHERE status <> 'failed') FROM (SELECT * FROM jobs ORDER BY id LIMIT 5) x
SELECT status || ' (' || count(*) || ')' AS label FROM jobs GROUP BY status ORDER BY label
SELECT CASE WHEN trained_tokens > 1000 THEN 'big' END AS c FROM jobs ORDER BY id LIMIT 5
SELECT status = 'failed' AND trained_tokens > 5 AS x, status = 'failed' OR trained_tokens > 5 AS y FROM jobs ORDER BY id LIMIT 9
SELECT round(avg(minutes)::numeric, 2) AS m, round(avg(trained_tokens), 1) AS t, round(avg(minutes)) AS r FROM jobs
SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY minutes) AS q1, percentile_cont(0.9) WITHIN GROUP (ORDER BY finished - created) AS p90 FROM jobs WHERE finished IS NOT NULL
SELECT model, percentile_disc(0.5) WITHIN GROUP (ORDER BY created) AS median FROM jobs GROUP BY model ORDER BY model
SELECT date_trunc('week', created)::date AS week, count(DISTINCT model) FROM jobs GROUP BY 1 ORDER BY 1
SELECT (date_trunc('month', created) + interval '1 month - 1 day')::date AS month_end, count(*) FROM jobs GROUP BY 1 ORDER BY 1
SELECT now()::date - created::date > 0 AS old, count(*) FROM jobs GROUP BY 1 ORDER BY 1
SELECT extract(hour from created) AS h, count(*) FROM jobs GROUP BY h ORDER BY count(*) DESC, h LIMIT 3
SELECT d::date, coalesce(n, 0) AS n FROM generate_series('2026-11-01'::timestamp, '2026-11-10', '1 day') d LEFT JOIN (SELECT date_trunc('day', created) AS day, count(*) AS n FROM jobs GROUP BY 1) x ON x.day = d ORDER BY 1
SELECT generate_series(1, 3) AS n
SELECT x FROM unnest(ARRAY['b','a']) x ORDER BY x
SELECT a.x, b.y FROM (VALUES (1),(2)) a(x) CROSS JOIN (VALUES ('p'),('q')) b(y) ORDER BY 1, 2
SELECT j.* FROM jobs j JOIN (SELECT max(created) AS c FROM jobs) m ON j.created = m.c
SELECT count(*) FROM jobs WHERE to_char(created, 'YYYY-MM') >= '2026-01'
SELECT count(*) FROM jobs WHERE created >= date_trunc('year', timestamp '2026-06-01') AND created < date_trunc('year', timestamp '2026-06-01') + interval '1 year'
SELECT id FROM fine_tuning_jobs WHERE created_at > (SELECT avg(created_at) FROM fine_tuning_jobs) ORDER BY id LIMIT 3
SELECT hyperparameters->>'n_epochs' AS e, count(*) FROM fine_tuning_jobs GROUP BY 1 ORDER BY 1
SELECT (hyperparameters->>'n_epochs')::text || 'x', metadata->>'team' FROM fine_tuning_jobs ORDER BY id LIMIT 5
SELECT id FROM fine_tuning_jobs WHERE metadata->>'team' = 'ads' ORDER BY id LIMIT 5
SELECT id FROM fine_tuning_jobs WHERE (error->>'code') IS NOT NULL ORDER BY id LIMIT 5
SELECT jsonb_typeof(metadata::jsonb) FROM fine_tuning_jobs WHERE metadata IS NOT NULL LIMIT 1
SELECT -5 % 3, 5 / -2, -(-3), 2 - -1, +1, 2 * (3 + 4), 10 - 2 - 3, 2 ^ 3 ^ 2, NOT true AND false
SELECT 'a' < 'B', 'a' = 'A', 'ä' > 'z', '' IS NULL, length('äö')
SELECT NULL = NULL, NULL IS NULL, NULL AND false, NULL OR true, 1 IN (NULL, 1), 1 NOT IN (2, NULL)
SELECT true AND 't'::bool, 'f'::bool IS FALSE, (1 = 1)::text, (1 = 1)::int, bool 'yes'
SELECT '1'::int + '2'::int, '3' || 4, 5 || '', 1 + '2'
SELECT cast('2026-01-01' as date) + 1, date '2026-01-31' + interval '1 month', timestamp '2026-03-30' - interval '1 month'
SELECT '2026-01-01'::date < '2026-01-02', '2026-01-01' < now(), date '2026-01-01' = '20260101'
SELECT to_timestamp(0), to_timestamp(1.5), to_timestamp(-1), extract(epoch from to_timestamp(1.5))
SELECT interval '1 month' = interval '30 days', interval '1 year' > interval '364 days', interval '-1 day 2 hours', interval '1.5 hours', interval '2 weeks', interval 'P1DT2H', interval '1-2', interval '100 ms', '3 days'::interval::text
SELECT justify_hours(interval '30 hours')
SELECT greatest(date '2026-01-01', timestamp '2026-01-01 10:00'), least('b', 'a'), greatest(1, 2.5)
SELECT left(id, 5) AS p, count(*) FROM jobs GROUP BY left(id, 5) ORDER BY 1
SELECT upper(left(status, 1)) || substring(status from 2) AS s FROM jobs GROUP BY 1 ORDER BY 1
SELECT regexp_replace(model, '-\\d{4}-\\d\\d-\\d\\d$', '') AS base, count(*) FROM jobs GROUP BY 1 ORDER BY 2 DESC, 1
SELECT split_part(model, '-', 2) AS s FROM jobs GROUP BY s ORDER BY s
SELECT id FROM jobs ORDER BY CASE status WHEN 'failed' THEN 0 ELSE 1 END, created DESC, id LIMIT 5
SELECT id FROM jobs ORDER BY status = 'failed' DESC, lower(model), id LIMIT 5
SELECT id FROM jobs ORDER BY finished IS NULL, finished DESC, id LIMIT 5
SELECT model, status, count(*) FROM jobs GROUP BY (model, status) ORDER BY 1, 2
SELECT sum(count(*)) OVER () FROM jobs GROUP BY status LIMIT 1
SELECT count(*) FROM (SELECT DISTINCT model, status FROM jobs) t
SELECT max(x) FROM (SELECT count(*) AS x FROM jobs GROUP BY model) t
SELECT max FROM (SELECT max(minutes) FROM jobs) t
SELECT "?column?" FROM (SELECT 1 + 1) t
SELECT t.count FROM (SELECT count(*) FROM jobs) t
SELECT current_setting('TimeZone'), current_schema(), current_schema
SELECT EXISTS (SELECT 1 FROM jobs WHERE status = 'failed'), (SELECT count(*) FROM jobs)
SELECT id FROM jobs LIMIT 0
SELECT to_char(date '2026-01-05', 'YYYY"W"IW'), to_char(timestamp '2026-01-05 15:04:05', 'HH:MI:SS am'), to_char(1234.567, 'FM9,999.00'), to_char(0.5, '990.9%'), to_char(-1234, '9999'), to_char(42, 'FM0000'), to_char(1e6, '9,999,999')
SELECT date_trunc('day', '2026-01-01 10:00'::timestamptz), date_trunc('day', timestamptz '2026-01-01 23:00Z', 'Asia/Tokyo'), timezone('Asia/Tokyo', timestamp '2026-01-01')
SELECT extract(epoch from '2026-01-01'::date), extract(dow from '2026-01-04'::date), date_part('month', age('2026-05-01'::timestamp, '2026-01-15'))
SELECT model FROM jobs GROUP BY model ORDER BY count(*) DESC, max(created) DESC LIMIT 2
SELECT count(*), count(finished), count(DISTINCT status) FROM jobs
SELECT concat(true, 1, 'x', NULL, 1.5), concat_ws(',', 1, true, NULL), true || 'x'
SELECT nullif('', ''), nullif(trained_tokens, 0) FROM jobs ORDER BY id LIMIT 2
SELECT avg(trained_tokens)::int, avg(trained_tokens)::bigint, (sum(trained_tokens) / 3)::int FROM jobs
SELECT stddev_pop(minutes), var_samp(minutes), covar_pop(minutes, trained_tokens), regr_slope(minutes, trained_tokens) FROM jobs
WITH a AS (SELECT * FROM jobs), b AS (SELECT * FROM a WHERE status = 'failed') SELECT count(*) FROM b JOIN a USING (id)
WITH a(x, y) AS (SELECT status, count(*) FROM jobs GROUP BY 1) SELECT x, y FROM a ORDER BY y DESC, x
"""


def lines(text: str) -> list[str]:
    """One statement a line; a line that begins with FROM goes on."""
    return text.replace("\nFROM ", "\x00FROM ").strip().split("\n")


TOOLS = {"superset": SUPERSET, "metabase": METABASE, "grafana": GRAFANA, "tableau": TABLEAU, "power_bi": POWER_BI,
         "analysts": ANALYSTS, "varied": VARIED}  # fmt: skip
STATEMENTS = [(tool, line.replace("\x00", "\n")) for tool, text in TOOLS.items() for line in lines(text)]

GRAINS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
FILTERS = (
    "to_timestamp(created_at) >= {t}",
    "{t} < to_timestamp(created_at)",
    "to_timestamp(created_at) BETWEEN {t} AND now()",
    "date_trunc('{grain}', to_timestamp(created_at)) = date_trunc('{grain}', {t}::timestamptz)",
    "date_trunc('{grain}', to_timestamp(created_at)) > {t}",
    "NOT (to_timestamp(created_at) >= {t})",
    "to_timestamp(created_at)::date >= {t}",
    "to_timestamp(finished_at) <= {t}",
    "created_at >= extract(epoch from {t}::timestamptz)",
    "to_timestamp(created_at) + interval '1 month' > {t}",
    "(to_timestamp(created_at) AT TIME ZONE 'America/New_York')::date >= {t}",
    "extract(epoch from to_timestamp(finished_at)) >= extract(epoch from {t}::timestamptz)",
    "date_trunc('{grain}', to_timestamp(finished_at), 'Asia/Tokyo') >= {t}",
)
ORDERS = ("", " DESC", " NULLS FIRST", " DESC NULLS LAST", " ASC NULLS LAST")


WRAPPED = (
    "SELECT count(*), min(t) FROM (SELECT to_timestamp(finished_at) AS t FROM fine_tuning_jobs) v WHERE t {op} {t}",
    "SELECT d, n FROM (SELECT date_trunc('{grain}', to_timestamp(created_at)) AS d, count(*) AS n FROM fine_tuning_jobs "
    "GROUP BY 1) v WHERE d {op} {t} ORDER BY d",
    "WITH v AS (SELECT id, to_timestamp(finished_at)::date AS d FROM fine_tuning_jobs) SELECT id FROM v WHERE d {op} {t} "
    "ORDER BY id",
    "SELECT j.id, v.t FROM fine_tuning_jobs j LEFT JOIN (SELECT id, to_timestamp(finished_at) AS t FROM fine_tuning_jobs) v "
    "ON v.id = j.id WHERE v.t {op} {t} OR v.t IS NULL ORDER BY j.id",
    "SELECT j.id, v.t FROM fine_tuning_jobs j LEFT JOIN (SELECT id, to_timestamp(finished_at) AS t FROM fine_tuning_jobs) v "
    "ON v.id = j.id WHERE v.t {op} {t} ORDER BY j.id",
    "SELECT t FROM (SELECT a.t FROM (SELECT to_timestamp(created_at) - interval '1 month' AS t FROM fine_tuning_jobs) a) b "
    "WHERE {t} {op} t ORDER BY t",
    "SELECT count(*) FROM (SELECT DISTINCT date_trunc('{grain}', to_timestamp(created_at), 'Asia/Tokyo') AS t FROM "
    "fine_tuning_jobs) v WHERE t {op} {t}",
    "SELECT id FROM (SELECT id, to_timestamp(created_at) AS t FROM fine_tuning_jobs ORDER BY created_at, id LIMIT 9) v "
    "WHERE t {op} {t} ORDER BY id",
)


def generated(times: list[str]) -> list[str]:
    """Time grains, filters and NULL orders put together."""
    made = [
        wrapped.format(
            t=f"'{times[(number + place) % len(times)]}'", op=op, grain=GRAINS[(number + place) % len(GRAINS)]
        )
        for number, wrapped in enumerate(WRAPPED)
        for place, op in enumerate((">=", ">", "=", "<", "<=", ">="))
    ]
    for number, filter in enumerate(FILTERS):
        for place, grain in enumerate(GRAINS):
            test = filter.format(t=f"'{times[(number + place) % len(times)]}'", grain=grain)
            order = ORDERS[(number + place) % len(ORDERS)]
            made.append(
                f"SELECT date_trunc('{grain}', to_timestamp(finished_at)) AS t, count(*) FROM fine_tuning_jobs "
                f"WHERE {test} GROUP BY 1 ORDER BY t{order}"
            )
            made.append(
                f"SELECT id FROM (SELECT id, status, created_at, finished_at FROM fine_tuning_jobs) v WHERE {test} "
                f"ORDER BY finished_at{order}, id LIMIT 20"
            )
    return made
