-- SPDX-License-Identifier: MIT
-- Version 3 to 4: trials differ in how the engine computes, too, and how far that takes their logits from those in float32. Old
-- runs computed in float32 with all their threads; which products and which attention they used was not recorded: NULL.

ALTER TABLE trial ADD COLUMN dtype TEXT NOT NULL DEFAULT 'f32'      -- of the weights as they are computed from
  CHECK(dtype IN ('f32', 'f16', 'bf16', 'q8_0', 'q4_0'));
ALTER TABLE trial ADD COLUMN kv_dtype TEXT NOT NULL DEFAULT 'f32'   -- of cached keys and values
  CHECK(kv_dtype IN ('f32', 'f16', 'bf16'));
ALTER TABLE trial ADD COLUMN threads INTEGER;                       -- workers of each pass, of the run's
ALTER TABLE trial ADD COLUMN gemm TEXT CHECK(gemm IN ('own', 'openblas'));
ALTER TABLE trial ADD COLUMN attention TEXT CHECK(attention IN ('flash', 'naive'));
ALTER TABLE trial ADD COLUMN arithmetic TEXT NOT NULL DEFAULT 'f32' -- in what products with weights are computed
  CHECK(arithmetic IN ('f32', 'bf16', 'int8'));
ALTER TABLE trial ADD COLUMN attention_arithmetic TEXT NOT NULL DEFAULT 'f32'
  CHECK(attention_arithmetic IN ('f32', 'bf16'));
ALTER TABLE trial ADD COLUMN weight_bytes INTEGER;                  -- of the model as this trial had it in memory
UPDATE trial SET (threads, weight_bytes) = (SELECT threads, weight_bytes FROM run WHERE run.id = trial.run);

CREATE TABLE accuracy(                -- logits at every position of a prompt, against those of the same model in float32
  trial INTEGER PRIMARY KEY REFERENCES trial(id),
  positions INTEGER NOT NULL CHECK(positions > 0),
  max_error REAL NOT NULL, mean_error REAL NOT NULL, -- absolute
  spread REAL NOT NULL,               -- standard deviation of the float32 logits, which the errors are read against
  top1 REAL NOT NULL                  -- share of positions with the same largest logit
) STRICT;

DROP VIEW trial_rate;
DROP VIEW step_time;

CREATE VIEW step_time AS
  SELECT t.run, t.id AS trial, t.kv_cache, t.batch, t.prompt_tokens, t.new_tokens, t.strategy,
         t.dtype, t.kv_dtype, t.threads, t.gemm, t.attention,
         r.id AS repetition, r.pass, r.rep, r.warmup, s.step, s.phase, s.kv_len, s.token, s.wall_ns / 1e6 AS ms,
         s.sample_ns / 1e6 AS sample_ms,
         p.flops, p.weight_bytes + p.kv_read_bytes + p.kv_write_bytes AS bytes
  FROM step s JOIN repetition r ON r.id = s.repetition JOIN trial t ON t.id = r.trial
  JOIN prediction p ON p.trial = t.id AND p.step = s.step;

CREATE VIEW trial_rate AS
  SELECT run, trial, kv_cache, batch, prompt_tokens, new_tokens, strategy, dtype, kv_dtype, threads, gemm, attention,
         repetition, rep,
         sum(ms) FILTER (WHERE phase = 'prefill') AS prefill_ms,
         sum(ms) FILTER (WHERE phase = 'decode') AS decode_ms,
         sum(sample_ms) FILTER (WHERE phase = 'decode') AS decode_sample_ms,
         batch * new_tokens / (sum(ms) / 1e3) AS tokens_per_s
  FROM step_time WHERE pass = 'time' AND warmup = 0 GROUP BY repetition;
