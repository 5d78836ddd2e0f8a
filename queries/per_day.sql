-- How many jobs were created on each of the last fourteen days?
WITH RECURSIVE days (day) AS (
  SELECT date('now', '-13 days')
  UNION ALL
  SELECT date(day, '+1 day') FROM days WHERE day < date('now')
),
recent AS (
  SELECT date(created_at, 'unixepoch') AS day, status
  FROM fine_tuning_jobs
  WHERE created_at >= unixepoch('now', '-13 days', 'start of day')
)
SELECT
  days.day,
  count(recent.day) AS jobs,
  count(*) FILTER (WHERE recent.status = 'succeeded') AS succeeded,
  count(*) FILTER (WHERE recent.status = 'failed') AS failed
FROM days
LEFT JOIN recent ON recent.day = days.day
GROUP BY days.day
ORDER BY days.day;
