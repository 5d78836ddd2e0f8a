-- What did training cost, by model and month?
-- Prices are US dollars per million trained tokens: put your own contract's into the table.
WITH prices (prefix, usd) AS (
  VALUES
    ('gpt-4o-mini', 3.0),
    ('gpt-4o-2', 25.0),
    ('gpt-4.1-mini', 5.0),
    ('gpt-4.1-2', 25.0)
)
SELECT
  strftime('%Y-%m', created_at, 'unixepoch') AS month,
  model,
  count(*) AS jobs,
  sum(trained_tokens) AS tokens,
  round(sum(trained_tokens) / 1e6 * usd, 2) AS usd
FROM fine_tuning_jobs
LEFT JOIN prices ON model GLOB prefix || '*'
WHERE trained_tokens > 0
GROUP BY month, model
ORDER BY month DESC, usd DESC;
