-- What are the most common reasons that jobs fail?
SELECT
  coalesce(error ->> '$.code', 'no code') AS code,
  count(*) AS jobs,
  max(strftime('%Y-%m-%d', created_at, 'unixepoch')) AS last_seen,
  max(error ->> '$.message') AS example
FROM fine_tuning_jobs
WHERE status = 'failed'
GROUP BY code
ORDER BY jobs DESC, code;
