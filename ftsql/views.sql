-- Views for people, over the tables of whichever schema they stand in: live, or a snapshot file.

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
  coalesce(method ->> '$.type', 'supervised') AS method,
  error ->> '$.message' AS error_message,
  metadata
FROM fine_tuning_jobs;
