-- Which checkpoint of each of the last twenty finished jobs has the lowest loss?
WITH recent AS (
  SELECT id, provider, model, created_at
  FROM fine_tuning_jobs
  WHERE status = 'succeeded'
  ORDER BY created_at DESC, id
  LIMIT 20
),
ranked AS (
  SELECT
    recent.*,
    checkpoint.step_number AS step,
    checkpoint.fine_tuned_model_checkpoint AS checkpoint,
    coalesce(metrics ->> '$.full_valid_loss', metrics ->> '$.valid_loss', metrics ->> '$.train_loss') AS loss,
    metrics ->> '$.valid_mean_token_accuracy' AS valid_accuracy
  FROM recent
  JOIN fine_tuning_job_checkpoints AS checkpoint
    ON checkpoint.fine_tuning_job_id = recent.id AND checkpoint.provider = recent.provider
)
SELECT id, model, step, round(min(loss), 4) AS loss, valid_accuracy, checkpoint
FROM ranked
GROUP BY provider, id
ORDER BY created_at DESC, id;
