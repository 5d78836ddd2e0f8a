-- How often do jobs succeed, by model?
SELECT
  model,
  count(*) FILTER (WHERE status IN ('succeeded', 'failed', 'cancelled')) AS finished,
  count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
  count(*) FILTER (WHERE status = 'failed') AS failed,
  count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
  round(100.0 * count(*) FILTER (WHERE status = 'succeeded')
    / nullif(count(*) FILTER (WHERE status IN ('succeeded', 'failed')), 0), 1) AS percent
FROM fine_tuning_jobs
GROUP BY model
ORDER BY percent;
