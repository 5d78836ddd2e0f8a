-- What did the events say just before each of the last ten failures?
WITH failed AS (
  SELECT id, provider, model, created_at
  FROM fine_tuning_jobs
  WHERE status = 'failed'
  ORDER BY created_at DESC, id
  LIMIT 10
),
told AS (
  SELECT
    failed.id,
    failed.model,
    failed.created_at AS began,
    event.created_at,
    event.level,
    event.message,
    row_number() OVER (
      PARTITION BY failed.provider, failed.id ORDER BY event.created_at DESC, event.level, event.message
    ) AS before_the_end
  FROM failed
  JOIN fine_tuning_job_events AS event
    ON event.fine_tuning_job_id = failed.id AND event.provider = failed.provider
)
SELECT id, model, strftime('%Y-%m-%d %H:%M:%S', created_at, 'unixepoch') AS at, level, message
FROM told
WHERE before_the_end <= 3
ORDER BY began DESC, id, before_the_end DESC;
