-- Which training files were used more than once with the same model?
SELECT
  training_file,
  model,
  count(*) AS times,
  sum(trained_tokens) AS tokens,
  json_group_array(id) AS jobs
FROM fine_tuning_jobs
WHERE training_file IS NOT NULL
GROUP BY training_file, model
HAVING count(*) > 1
ORDER BY times DESC, training_file;
