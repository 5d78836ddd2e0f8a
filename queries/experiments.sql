-- What is the status of the jobs in my local experiments table?
-- needs: CREATE TABLE experiments (name TEXT, job_id TEXT)
SELECT
  experiments.name,
  experiments.job_id,
  coalesce(job.status, 'no such job') AS status,
  job.fine_tuned_model,
  job.trained_tokens
FROM experiments
LEFT JOIN fine_tuning_jobs AS job ON job.id = experiments.job_id
ORDER BY experiments.name;
