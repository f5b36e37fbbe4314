-- SPDX-License-Identifier: MIT
-- Version 4 to 5: runs on a GPU. How it is given its work, how many kernels a step hands over, what ran when, and its state over
-- time. What an old run did not record is NULL, or no row.
--
-- A CHECK cannot be altered: roof and trial are made again with more words let in, and their rows moved over. Other tables refer
-- to trial, so migrations run with foreign keys off, are checked as a whole, and are one transaction. Views go first: they may not
-- name a table that is not there.

DROP VIEW op_time;
DROP VIEW counted;
DROP VIEW trial_rate;
DROP VIEW step_time;

CREATE TABLE roof_new(
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run(id),
  name TEXT NOT NULL,                 -- 'f32 fma', 'f32 gemm', 'dram read', 'launch graph', ...
  kind TEXT NOT NULL CHECK(kind IN ('compute', 'bandwidth', 'launch')),
  level TEXT NOT NULL,                -- 'registers', 'l1', 'l2', 'l3', 'dram', 'launch'
  threads INTEGER NOT NULL,
  round INTEGER NOT NULL,             -- 0 before the trials, then 1, 2, ... between and after
  at_ns INTEGER NOT NULL,             -- when, since the run's start: pairs a roof with the repetitions beside it
  value REAL NOT NULL,                -- FLOP/s, B/s or kernels/s
  work REAL NOT NULL, wall_ns INTEGER NOT NULL, repetitions INTEGER NOT NULL,
  how TEXT NOT NULL
) STRICT;
INSERT INTO roof_new(id, run, name, kind, level, threads, round, at_ns, value, work, wall_ns, repetitions, how)
  SELECT id, run, name, kind, level, threads, round, at_ns, value, work, wall_ns, repetitions, how FROM roof;
DROP TABLE roof;
ALTER TABLE roof_new RENAME TO roof;

CREATE TABLE trial_new(               -- a point of the suite's matrix
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run(id),
  ordinal INTEGER NOT NULL,
  kv_cache TEXT NOT NULL CHECK(kv_cache IN ('on', 'off')),
  batch INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, new_tokens INTEGER NOT NULL,
  strategy TEXT NOT NULL CHECK(strategy IN ('greedy', 'sample', 'top_k', 'top_p', 'min_p', 'beam')),
  dtype TEXT NOT NULL CHECK(dtype IN ('f32', 'f16', 'bf16', 'q8_0', 'q4_0')), -- of the weights as they are computed from
  kv_dtype TEXT NOT NULL CHECK(kv_dtype IN ('f32', 'f16', 'bf16')),           -- of cached keys and values
  threads INTEGER,                    -- workers of each pass, of the run's
  gemm TEXT CHECK(gemm IN ('own', 'openblas')),
  attention TEXT CHECK(attention IN ('flash', 'naive')),
  launch TEXT CHECK(launch IN ('graph', 'eager')), -- how a device is given a decode step; without a meaning on the CPU
  sampling TEXT,                      -- the strategy's settings in words; NULL: greedy has none
  rows INTEGER,                       -- of each pass and of the KV cache: batch, times the beams
  arithmetic TEXT NOT NULL            -- in what products with weights are computed
    CHECK(arithmetic IN ('f32', 'f16', 'bf16', 'int8')),
  attention_arithmetic TEXT NOT NULL CHECK(attention_arithmetic IN ('f32', 'f16', 'bf16')),
  weight_bytes INTEGER,               -- of the model as this trial had it in memory
  kv_bytes_formula INTEGER NOT NULL,  -- 2 x layers x rows x kv_heads x tokens x head_dim x bytes, at the last token held
  kv_bytes_allocated INTEGER,         -- what the session really took
  unconverged INTEGER CHECK(unconverged IN (0, 1)),  -- NULL until decided
  UNIQUE(run, ordinal)
) STRICT;
INSERT INTO trial_new(id, run, ordinal, kv_cache, batch, prompt_tokens, new_tokens, strategy, dtype, kv_dtype, threads, gemm,
                      attention, sampling, rows, arithmetic, attention_arithmetic, weight_bytes, kv_bytes_formula,
                      kv_bytes_allocated, unconverged)
  SELECT id, run, ordinal, kv_cache, batch, prompt_tokens, new_tokens, strategy, dtype, kv_dtype, threads, gemm,
         attention, sampling, rows, arithmetic, attention_arithmetic, weight_bytes, kv_bytes_formula,
         kv_bytes_allocated, unconverged FROM trial;
DROP TABLE trial;
ALTER TABLE trial_new RENAME TO trial;

ALTER TABLE step ADD COLUMN launches INTEGER;  -- kernels, copies and sets given to a device; NULL: there was none

-- What a device did in the steps that are kept (prefill, the first and the last decode step) of one execution of a pass.
CREATE TABLE event(
  repetition INTEGER NOT NULL REFERENCES repetition(id),
  step INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,           -- within the step, by time
  kind TEXT NOT NULL CHECK(kind IN ('kernel', 'copy', 'set')),
  name TEXT NOT NULL,
  op TEXT,                            -- NULL: of none, or not known: a graph was replayed
  layer INTEGER NOT NULL,             -- -1: outside the layers
  start_ns INTEGER NOT NULL,          -- since the step's first event
  wall_ns INTEGER NOT NULL,
  grid_x INTEGER, grid_y INTEGER, grid_z INTEGER, block_x INTEGER, block_y INTEGER, block_z INTEGER, -- of kernels
  registers INTEGER, shared_bytes INTEGER,                                                           -- likewise
  bytes INTEGER,                      -- of copies and sets
  PRIMARY KEY(repetition, step, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE sample(                  -- a device's state over a short while, taken beside a whole execution
  repetition INTEGER NOT NULL REFERENCES repetition(id),
  at_ns INTEGER NOT NULL,             -- of its begin, since the execution's start
  span_ns INTEGER NOT NULL,
  read_bytes REAL, write_bytes REAL,  -- from and to the device's memory; NULL: not known
  sm_active REAL, tensor_active REAL, -- shares of the time, 0 to 1; NULL: not known
  PRIMARY KEY(repetition, at_ns)
) STRICT, WITHOUT ROWID;

CREATE INDEX trial_run ON trial(run);
CREATE INDEX roof_run ON roof(run);

CREATE VIEW step_time AS
  SELECT t.run, t.id AS trial, t.kv_cache, t.batch, t.prompt_tokens, t.new_tokens, t.strategy,
         t.dtype, t.kv_dtype, t.threads, t.gemm, t.attention, t.launch,
         r.id AS repetition, r.pass, r.rep, r.warmup, s.step, s.phase, s.kv_len, s.token, s.wall_ns / 1e6 AS ms,
         s.sample_ns / 1e6 AS sample_ms, s.launches,
         p.flops, p.weight_bytes + p.kv_read_bytes + p.kv_write_bytes AS bytes
  FROM step s JOIN repetition r ON r.id = s.repetition JOIN trial t ON t.id = r.trial
  JOIN prediction p ON p.trial = t.id AND p.step = s.step;

CREATE VIEW trial_rate AS
  SELECT run, trial, kv_cache, batch, prompt_tokens, new_tokens, strategy, dtype, kv_dtype, threads, gemm, attention, launch,
         repetition, rep,
         sum(ms) FILTER (WHERE phase = 'prefill') AS prefill_ms,
         sum(ms) FILTER (WHERE phase = 'decode') AS decode_ms,
         sum(sample_ms) FILTER (WHERE phase = 'decode') AS decode_sample_ms,
         batch * new_tokens / (sum(ms) / 1e3) AS tokens_per_s
  FROM step_time WHERE pass = 'time' AND warmup = 0 GROUP BY repetition;

CREATE VIEW counted AS
  SELECT t.run, t.id AS trial, g.step, g.metric, g.value, g.provenance,
         CASE g.metric WHEN 'flops' THEN p.flops
              WHEN 'dram_read_bytes' THEN p.weight_bytes + p.kv_read_bytes END AS analytic
  FROM reading g JOIN repetition r ON r.id = g.repetition JOIN trial t ON t.id = r.trial
  JOIN prediction p ON p.trial = t.id AND p.step = g.step
  WHERE g.value IS NOT NULL AND r.warmup = 0;

CREATE VIEW op_time AS
  SELECT t.run, t.id AS trial, r.id AS repetition, r.rep, o.step, o.steps, CASE o.step WHEN 0 THEN 'prefill' ELSE 'decode' END AS phase,
         o.op, o.layer, o.wall_ns / 1e6 / o.steps AS ms_a_step
  FROM op_step o JOIN repetition r ON r.id = o.repetition JOIN trial t ON t.id = r.trial WHERE r.pass = 'op:time';

CREATE VIEW kernel_time AS
  SELECT t.run, t.id AS trial, r.id AS repetition, r.pass, e.step, e.kind, e.name, e.op, count(*) AS n, sum(e.wall_ns) / 1e6 AS ms
  FROM event e JOIN repetition r ON r.id = e.repetition JOIN trial t ON t.id = r.trial
  GROUP BY r.id, e.step, e.kind, e.name, e.op;
