-- What happened to clusters, what tasks made beside their results, and who may write a run. Goes before the
-- code that needs it; the code before it goes on working.

CREATE TABLE cluster_events (
    run $integer NOT NULL,
    number $integer NOT NULL,
    kind TEXT NOT NULL,
    worker TEXT NOT NULL,
    at $real NOT NULL,
    details TEXT,
    PRIMARY KEY (run, number)
) $clustered;

CREATE TABLE artifacts (
    run $integer NOT NULL,
    number $integer NOT NULL,
    task $integer NOT NULL,
    map_index $integer NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    at $real NOT NULL,
    data $bytes,
    location TEXT,
    PRIMARY KEY (run, number)
) $clustered;

ALTER TABLE flow_runs ADD COLUMN fence $integer NOT NULL DEFAULT 0;

ALTER TABLE flow_runs ADD COLUMN lease_until $real;
