-- How many jobs and tokens did each team (in metadata) train?
SELECT
  coalesce(metadata ->> '$.team', '(none)') AS team,
  count(*) AS jobs,
  count(*) FILTER (WHERE status = 'failed') AS failed,
  sum(trained_tokens) AS tokens,
  strftime('%Y-%m-%d', max(created_at), 'unixepoch') AS last_job
FROM fine_tuning_jobs
GROUP BY team
ORDER BY tokens DESC;
