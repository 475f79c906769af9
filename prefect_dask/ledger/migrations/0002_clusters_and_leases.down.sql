-- Loses what happened to clusters, the artifacts of tasks, and which process may write which run.

DROP TABLE cluster_events;

DROP TABLE artifacts;

ALTER TABLE flow_runs DROP COLUMN fence;

ALTER TABLE flow_runs DROP COLUMN lease_until;
