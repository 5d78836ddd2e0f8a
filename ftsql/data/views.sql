-- Views with readable values over the tables of the schema that holds the view: live, or main in a snapshot file.

CREATE VIEW jobs AS
SELECT
  id,
  provider,
  model,
  status,
  fine_tuned_model,
  strftime('%Y-%m-%d %H:%M:%S', created_at, 'unixepoch') AS created,
  strftime('%Y-%m-%d %H:%M:%S', finished_at, 'unixepoch') AS finished,
  (coalesce(finished_at, unixepoch()) - created_at + 3) / 6 / 10.0 AS minutes,
  trained_tokens,
  training_file,
  CASE json_type(method) WHEN 'text' THEN method ->> '$' ELSE method ->> '$.type' END AS method,
  CASE json_type(error)
    WHEN 'object' THEN coalesce(
      error ->> '$.message', error ->> '$.Message', error ->> '$.detail', error ->> '$.msg', error ->> '$.description',
      error ->> '$.reason', error ->> '$.error', error ->> '$.code', error
    )
    WHEN 'array' THEN coalesce(error ->> '$[0].message', error ->> '$[0].msg', error ->> '$[0].detail', error ->> '$[0]')
    ELSE error ->> '$'
  END AS error_message,
  metadata
FROM fine_tuning_jobs;

CREATE VIEW checkpoints AS
SELECT
  checkpoint.fine_tuning_job_id,
  checkpoint.provider,
  job.model,
  checkpoint.step_number AS step,
  strftime('%Y-%m-%d %H:%M:%S', checkpoint.created_at, 'unixepoch') AS created,
  checkpoint.fine_tuned_model_checkpoint,
  checkpoint.metrics ->> '$.train_loss' AS train_loss,
  checkpoint.metrics ->> '$.train_mean_token_accuracy' AS train_mean_token_accuracy,
  checkpoint.metrics ->> '$.valid_loss' AS valid_loss,
  checkpoint.metrics ->> '$.valid_mean_token_accuracy' AS valid_mean_token_accuracy,
  checkpoint.metrics ->> '$.full_valid_loss' AS full_valid_loss,
  checkpoint.metrics ->> '$.full_valid_mean_token_accuracy' AS full_valid_mean_token_accuracy
FROM fine_tuning_jobs AS job
JOIN fine_tuning_job_checkpoints AS checkpoint
  ON checkpoint.fine_tuning_job_id = job.id AND checkpoint.provider = job.provider;
