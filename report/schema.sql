-- SPDX-License-Identifier: MIT
-- One database holds many runs. Raw rows are append-only and committed per repetition; run.finished stays NULL when a run died.
-- Missing is NULL, never 0. Times are nanoseconds, sizes bytes. Derived figures are views (see the end), so that anyone can ask
-- the sqlite3 shell. This file is version 1; later versions are migrations in store.c, never edits of it.

CREATE TABLE run(
  id INTEGER PRIMARY KEY,
  suite TEXT NOT NULL,
  question TEXT NOT NULL,
  suite_yaml TEXT NOT NULL,           -- as read, overrides appended as comments
  command TEXT NOT NULL,
  started TEXT NOT NULL,              -- ISO 8601, UTC
  finished TEXT,                      -- NULL: running, interrupted or died
  outcome TEXT CHECK(outcome IN ('held', 'not held', 'failed', 'interrupted')),
  problem TEXT,                       -- the sentence when failed or interrupted
  model TEXT NOT NULL, arch TEXT NOT NULL, dtype TEXT NOT NULL, weights TEXT NOT NULL,
  layers INTEGER NOT NULL, d_model INTEGER NOT NULL, heads INTEGER NOT NULL, kv_heads INTEGER NOT NULL,
  head_dim INTEGER NOT NULL, d_ff INTEGER NOT NULL, vocab INTEGER NOT NULL, context INTEGER NOT NULL,
  parameters INTEGER NOT NULL, weight_bytes INTEGER NOT NULL,
  tokenizer TEXT NOT NULL, prompt TEXT NOT NULL, prompt_tokens TEXT NOT NULL,  -- the text's ids, JSON array
  backend TEXT NOT NULL, backend_about TEXT NOT NULL, threads INTEGER NOT NULL, cpus TEXT NOT NULL, seed INTEGER NOT NULL,
  load_model_ns INTEGER, load_tokenizer_ns INTEGER, tokenize_ns INTEGER,
  version TEXT NOT NULL, compiler TEXT NOT NULL,
  conventions TEXT NOT NULL           -- how work was counted, one sentence
) STRICT;

CREATE TABLE machine(                 -- facts about the machine at the start of the run
  run INTEGER NOT NULL REFERENCES run(id),
  key TEXT NOT NULL, value TEXT NOT NULL, source TEXT NOT NULL,
  PRIMARY KEY(run, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE roof(
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run(id),
  name TEXT NOT NULL,                 -- 'f32 fma', 'f32 gemm', 'dram read', ...
  kind TEXT NOT NULL CHECK(kind IN ('compute', 'bandwidth')),
  level TEXT NOT NULL,                -- 'registers', 'l1', 'l2', 'l3', 'dram'
  threads INTEGER NOT NULL,
  round INTEGER NOT NULL,             -- 0 before the trials, then 1, 2, ... between and after
  at_ns INTEGER NOT NULL,             -- when, since the run's start: pairs a roof with the repetitions beside it
  value REAL NOT NULL,                -- FLOP/s or B/s
  work REAL NOT NULL, wall_ns INTEGER NOT NULL, repetitions INTEGER NOT NULL,
  how TEXT NOT NULL
) STRICT;

CREATE TABLE calibration(
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run(id),
  metric TEXT NOT NULL, probe TEXT NOT NULL, event TEXT NOT NULL, kernel TEXT NOT NULL,
  expected REAL NOT NULL, measured REAL, rel_error REAL, rel_limit REAL NOT NULL,
  accepted INTEGER NOT NULL CHECK(accepted IN (0, 1)),
  why TEXT NOT NULL
) STRICT;

CREATE TABLE absent(                  -- what was wanted and is not on this machine or in this build
  run INTEGER NOT NULL REFERENCES run(id),
  what TEXT NOT NULL, why TEXT NOT NULL
) STRICT;

CREATE TABLE trial(                   -- a point of the suite's matrix
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run(id),
  ordinal INTEGER NOT NULL,
  kv_cache TEXT NOT NULL CHECK(kv_cache IN ('on', 'off')),
  batch INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, new_tokens INTEGER NOT NULL,
  kv_bytes_formula INTEGER NOT NULL,  -- 2 x layers x batch x kv_heads x tokens x head_dim x 4, at the last token held
  kv_bytes_allocated INTEGER,         -- what the session really took
  unconverged INTEGER CHECK(unconverged IN (0, 1)),  -- NULL until decided
  UNIQUE(run, ordinal)
) STRICT;

CREATE TABLE prediction(              -- analytic work and time, stored before the trial is measured
  trial INTEGER NOT NULL REFERENCES trial(id),
  step INTEGER NOT NULL,              -- 0 prefill, i the i-th decode step
  phase TEXT NOT NULL CHECK(phase IN ('prefill', 'decode')),
  flops REAL NOT NULL, weight_bytes REAL NOT NULL, kv_read_bytes REAL NOT NULL, kv_write_bytes REAL NOT NULL,
  roof_ns REAL NOT NULL,              -- max(flops / compute roof, bytes / dram read roof) with the roofs of round 0
  PRIMARY KEY(trial, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE op(                      -- analytic work by op, summed over layers, for prefill and for the first and last decode
                                      -- step; rows stand in the order of the pass
  trial INTEGER NOT NULL REFERENCES trial(id),
  step INTEGER NOT NULL, op TEXT NOT NULL,
  flops REAL NOT NULL, bytes REAL NOT NULL,
  PRIMARY KEY(trial, step, op)
) STRICT;

CREATE TABLE repetition(              -- one execution of a trial; its rows are committed together
  id INTEGER PRIMARY KEY,
  trial INTEGER NOT NULL REFERENCES trial(id),
  pass TEXT NOT NULL,                 -- 'time', or the counter group: 'papi:flops'
  rep INTEGER NOT NULL,               -- 0, 1, ... within (trial, pass); kept apart by warmup
  warmup INTEGER NOT NULL CHECK(warmup IN (0, 1)),
  ordinal INTEGER NOT NULL,           -- order of execution within the run
  started_ns INTEGER NOT NULL,        -- since the run's start
  wall_ns INTEGER NOT NULL,           -- prefill to last token, hooks included
  tokens_hash TEXT NOT NULL,          -- of all chosen tokens: FNV-1a 64, hex
  rejected INTEGER NOT NULL DEFAULT 0,-- implausible counter readings thrown away before this one was kept
  switches_involuntary INTEGER, page_faults_minor INTEGER, page_faults_major INTEGER,
  steal_ticks INTEGER, other_busy REAL, load1 REAL
) STRICT;

CREATE TABLE step(
  repetition INTEGER NOT NULL REFERENCES repetition(id),
  step INTEGER NOT NULL,              -- 0 prefill
  phase TEXT NOT NULL CHECK(phase IN ('prefill', 'decode')),
  wall_ns INTEGER NOT NULL,
  kv_len INTEGER NOT NULL,            -- tokens that this step attended to, itself included
  token INTEGER NOT NULL,             -- chosen for the first sequence
  token_text TEXT NOT NULL,
  PRIMARY KEY(repetition, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE reading(
  repetition INTEGER NOT NULL REFERENCES repetition(id),
  step INTEGER NOT NULL,
  probe TEXT NOT NULL, metric TEXT NOT NULL,
  value REAL,                         -- NULL when missing
  coverage REAL NOT NULL,             -- share of the step that the counter really ran
  provenance TEXT NOT NULL CHECK(provenance IN ('counter', 'multiplexed', 'timer', 'analytic', 'os', 'vendor', 'missing')),
  why TEXT,
  CHECK((value IS NULL) = (provenance = 'missing')),
  PRIMARY KEY(repetition, step, probe, metric)
) STRICT, WITHOUT ROWID;

CREATE TABLE claim(
  run INTEGER NOT NULL REFERENCES run(id),
  ordinal INTEGER NOT NULL,
  spec TEXT NOT NULL,                 -- the suite's claim, JSON
  result TEXT CHECK(result IN ('held', 'not held', 'undecided')),  -- NULL until evaluated
  text TEXT, evidence TEXT,
  PRIMARY KEY(run, ordinal)
) STRICT, WITHOUT ROWID;

CREATE INDEX trial_run ON trial(run);
CREATE INDEX repetition_trial ON repetition(trial);
CREATE INDEX roof_run ON roof(run);

-- Views: plain arithmetic over raw rows. Medians and intervals need C (stats.c) and come with `bench show RUN --json`.
CREATE VIEW step_time AS
  SELECT t.run, t.id AS trial, t.kv_cache, t.batch, t.prompt_tokens, t.new_tokens,
         r.id AS repetition, r.pass, r.rep, r.warmup, s.step, s.phase, s.kv_len, s.token, s.wall_ns / 1e6 AS ms,
         p.flops, p.weight_bytes + p.kv_read_bytes + p.kv_write_bytes AS bytes
  FROM step s JOIN repetition r ON r.id = s.repetition JOIN trial t ON t.id = r.trial
  JOIN prediction p ON p.trial = t.id AND p.step = s.step;

CREATE VIEW trial_rate AS
  SELECT run, trial, kv_cache, batch, prompt_tokens, new_tokens, repetition, rep,
         sum(ms) FILTER (WHERE phase = 'prefill') AS prefill_ms,
         sum(ms) FILTER (WHERE phase = 'decode') AS decode_ms,
         batch * new_tokens / (sum(ms) / 1e3) AS tokens_per_s
  FROM step_time WHERE pass = 'time' AND warmup = 0 GROUP BY repetition;

CREATE VIEW counted AS
  SELECT t.run, t.id AS trial, g.step, g.metric, g.value, g.provenance,
         CASE g.metric WHEN 'flops' THEN p.flops
              WHEN 'dram_read_bytes' THEN p.weight_bytes + p.kv_read_bytes END AS analytic
  FROM reading g JOIN repetition r ON r.id = g.repetition JOIN trial t ON t.id = r.trial
  JOIN prediction p ON p.trial = t.id AND p.step = g.step
  WHERE g.value IS NOT NULL AND r.warmup = 0;
