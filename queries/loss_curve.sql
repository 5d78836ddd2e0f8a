-- How did the loss of my latest finished job fall, step by step?
SELECT
  data ->> '$.step' AS step,
  data ->> '$.train_loss' AS train_loss,
  data ->> '$.valid_loss' AS valid_loss,
  data ->> '$.train_mean_token_accuracy' AS train_accuracy
FROM fine_tuning_job_events
WHERE fine_tuning_job_id IN (
    SELECT id FROM fine_tuning_jobs WHERE status = 'succeeded' ORDER BY created_at DESC, id LIMIT 1
  )
  AND type = 'metrics'
ORDER BY step;
