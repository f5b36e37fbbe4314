-- SPDX-License-Identifier: MIT
-- Version 1 to 2: how trials choose their tokens and what that takes, and the files that a model was read from. What an old run
-- did not record is NULL; its trials were all greedy, a row for each sequence.

ALTER TABLE run ADD COLUMN format TEXT;           -- 'preset', 'Hugging Face', 'GGUF'
ALTER TABLE run ADD COLUMN stored TEXT;           -- types of the weights in the files; run.dtype is what they are computed in
ALTER TABLE run ADD COLUMN stored_bytes INTEGER;  -- of the weights in the files; 0: there are none
ALTER TABLE run ADD COLUMN load_peak_bytes INTEGER; -- the process's largest resident size while the model was loaded

CREATE TABLE model_file(              -- what the model was read from, hashed after it was loaded
  run INTEGER NOT NULL REFERENCES run(id),
  path TEXT NOT NULL, bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL CHECK(length(sha256) = 64),
  PRIMARY KEY(run, path)
) STRICT;

ALTER TABLE trial ADD COLUMN strategy TEXT NOT NULL DEFAULT 'greedy'
  CHECK(strategy IN ('greedy', 'sample', 'top_k', 'top_p', 'min_p', 'beam'));
ALTER TABLE trial ADD COLUMN sampling TEXT;       -- its settings in words; NULL: greedy has none
ALTER TABLE trial ADD COLUMN rows INTEGER;        -- of each pass and of the KV cache: batch, times the beams
UPDATE trial SET rows = batch;

ALTER TABLE step ADD COLUMN sample_ns INTEGER;    -- of wall_ns, choosing the token; NULL: not measured

DROP VIEW trial_rate;
DROP VIEW step_time;

CREATE VIEW step_time AS
  SELECT t.run, t.id AS trial, t.kv_cache, t.batch, t.prompt_tokens, t.new_tokens, t.strategy,
         r.id AS repetition, r.pass, r.rep, r.warmup, s.step, s.phase, s.kv_len, s.token, s.wall_ns / 1e6 AS ms,
         s.sample_ns / 1e6 AS sample_ms,
         p.flops, p.weight_bytes + p.kv_read_bytes + p.kv_write_bytes AS bytes
  FROM step s JOIN repetition r ON r.id = s.repetition JOIN trial t ON t.id = r.trial
  JOIN prediction p ON p.trial = t.id AND p.step = s.step;

CREATE VIEW trial_rate AS
  SELECT run, trial, kv_cache, batch, prompt_tokens, new_tokens, strategy, repetition, rep,
         sum(ms) FILTER (WHERE phase = 'prefill') AS prefill_ms,
         sum(ms) FILTER (WHERE phase = 'decode') AS decode_ms,
         sum(sample_ms) FILTER (WHERE phase = 'decode') AS decode_sample_ms,
         batch * new_tokens / (sum(ms) / 1e3) AS tokens_per_s
  FROM step_time WHERE pass = 'time' AND warmup = 0 GROUP BY repetition;
