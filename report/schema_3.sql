-- SPDX-License-Identifier: MIT
-- Version 2 to 3: where within a step the time and the counted work went, executions that nothing watched, all that the noise
-- witness saw, and the caches that a working set may stay in. What an old run did not record is NULL, or no row.

CREATE TABLE cache(                   -- what the run's threads can hold together, by level: 'l2', 'l3'
  run INTEGER NOT NULL REFERENCES run(id),
  level TEXT NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY(run, level)
) STRICT, WITHOUT ROWID;

-- An execution of pass 'bare' has no rows in step: three clock readings, of which this is the second.
ALTER TABLE repetition ADD COLUMN prefill_ns INTEGER;     -- of wall_ns; NULL in every other pass

ALTER TABLE repetition ADD COLUMN interrupts INTEGER;     -- of the whole machine
ALTER TABLE repetition ADD COLUMN throttled INTEGER;      -- times that heat slowed the run's cores
ALTER TABLE repetition ADD COLUMN frequency_hz REAL;      -- of the main thread's core
ALTER TABLE repetition ADD COLUMN sibling_busy REAL;      -- CPUs' worth of time on hardware threads beside the run's
ALTER TABLE repetition ADD COLUMN huge_share REAL;        -- of large mappings, the share in huge pages
ALTER TABLE repetition ADD COLUMN remote_share REAL;      -- of the same memory, the share on other NUMA nodes

-- Analytic work by op: now also the sum of all decode steps (step 1, steps new_tokens - 1), and how much of it is written.
CREATE TABLE op_new(
  trial INTEGER NOT NULL REFERENCES trial(id),
  step INTEGER NOT NULL,
  steps INTEGER NOT NULL,             -- the row sums so many steps from `step` on
  op TEXT NOT NULL,
  flops REAL NOT NULL, bytes REAL NOT NULL,
  write_bytes REAL,                   -- of bytes; NULL: not recorded
  PRIMARY KEY(trial, step, steps, op)
) STRICT;
INSERT INTO op_new SELECT trial, step, 1, op, flops, bytes, NULL FROM op ORDER BY rowid;
DROP TABLE op;
ALTER TABLE op_new RENAME TO op;

-- Passes 'op:...': what each op took in each layer, for prefill, the first and the last decode step, and the sum of all decode
-- steps. A row for every step would be a hundred times as much and say little more: decode steps differ by their length alone.
CREATE TABLE op_step(
  repetition INTEGER NOT NULL REFERENCES repetition(id),
  step INTEGER NOT NULL, steps INTEGER NOT NULL,
  op TEXT NOT NULL,
  layer INTEGER NOT NULL,             -- -1: outside the layers
  wall_ns INTEGER NOT NULL,           -- without the ops nested in it
  PRIMARY KEY(repetition, step, steps, op, layer)
) STRICT, WITHOUT ROWID;

CREATE TABLE op_reading(
  repetition INTEGER NOT NULL REFERENCES repetition(id),
  step INTEGER NOT NULL, steps INTEGER NOT NULL,
  op TEXT NOT NULL, layer INTEGER NOT NULL,
  probe TEXT NOT NULL, metric TEXT NOT NULL,
  value REAL,                         -- NULL when missing
  provenance TEXT NOT NULL CHECK(provenance IN ('counter', 'timer', 'analytic', 'os', 'vendor', 'missing')),
  why TEXT,
  CHECK((value IS NULL) = (provenance = 'missing')),
  PRIMARY KEY(repetition, step, steps, op, layer, probe, metric)
) STRICT, WITHOUT ROWID;

-- Views: plain arithmetic over raw rows.
CREATE VIEW op_time AS
  SELECT t.run, t.id AS trial, r.id AS repetition, r.rep, o.step, o.steps, CASE o.step WHEN 0 THEN 'prefill' ELSE 'decode' END AS phase,
         o.op, o.layer, o.wall_ns / 1e6 / o.steps AS ms_a_step
  FROM op_step o JOIN repetition r ON r.id = o.repetition JOIN trial t ON t.id = r.trial WHERE r.pass = 'op:time';
