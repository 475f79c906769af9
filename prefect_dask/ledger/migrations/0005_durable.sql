-- Which results of a run are kept, as the run was begun with; who takes it up again goes by that. Goes before the
-- code that needs it; the code before it goes on working.

ALTER TABLE flow_runs ADD COLUMN durable TEXT;
