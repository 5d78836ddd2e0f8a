-- Which fine-tuned models do I have, newest first, and from what were they made?
SELECT
  fine_tuned_model,
  model AS base_model,
  strftime('%Y-%m-%d', finished_at, 'unixepoch') AS made,
  trained_tokens,
  training_file,
  seed,
  id
FROM fine_tuning_jobs
WHERE fine_tuned_model IS NOT NULL
ORDER BY finished_at DESC;
