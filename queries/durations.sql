-- How long do jobs take, by model?
SELECT
  model,
  count(*) AS jobs,
  round(min(finished_at - created_at) / 60.0, 1) AS shortest_minutes,
  round(avg(finished_at - created_at) / 60.0, 1) AS mean_minutes,
  round(max(finished_at - created_at) / 60.0, 1) AS longest_minutes
FROM fine_tuning_jobs
WHERE status = 'succeeded'
GROUP BY model
ORDER BY mean_minutes DESC;
