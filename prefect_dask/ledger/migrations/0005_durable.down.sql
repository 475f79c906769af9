-- Loses which results runs keep that were begun with another policy than their flow's.

ALTER TABLE flow_runs DROP COLUMN durable;
