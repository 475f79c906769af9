-- Flows, their runs, each change of state, results and log lines. Goes before the code that needs it.

CREATE TABLE flows (
    id $key,
    digest TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    graph TEXT NOT NULL,
    first_seen $real NOT NULL
);

CREATE TABLE flow_runs (
    id $key,
    run_id TEXT NOT NULL UNIQUE,
    flow $integer NOT NULL REFERENCES flows (id),
    name TEXT NOT NULL,
    parameters TEXT NOT NULL,
    scheduled $real NOT NULL,
    begun $real NOT NULL,
    ended $real,
    state TEXT NOT NULL,
    message TEXT,
    state_number $integer NOT NULL,
    coordinator TEXT NOT NULL,
    version TEXT NOT NULL,
    process TEXT NOT NULL DEFAULT '',
    origin TEXT,
    pickled $bytes
);

CREATE INDEX flow_runs_by_flow ON flow_runs (flow, id);

CREATE TABLE states (
    run $integer NOT NULL,
    number $integer NOT NULL,
    task $integer NOT NULL,
    map_index $integer NOT NULL,
    attempt $integer NOT NULL,
    state TEXT NOT NULL,
    message TEXT,
    at $real NOT NULL,
    worker TEXT NOT NULL,
    began $real,
    details TEXT,
    PRIMARY KEY (run, number)
) $clustered;

CREATE TABLE packed_states (
    run $integer NOT NULL,
    number $integer NOT NULL,
    count $integer NOT NULL,
    data $bytes NOT NULL,
    PRIMARY KEY (run, number)
) $packed;

CREATE TABLE results (
    run $integer NOT NULL,
    number $integer NOT NULL,
    task $integer NOT NULL,
    map_index $integer NOT NULL,
    location TEXT,
    value $bytes,
    size_bytes $integer,
    PRIMARY KEY (run, number)
) $clustered;

CREATE TABLE log_lines (
    run $integer NOT NULL,
    number $integer NOT NULL,
    task $integer NOT NULL,
    map_index $integer NOT NULL,
    level $integer NOT NULL,
    logger TEXT NOT NULL,
    message TEXT NOT NULL,
    exception TEXT,
    at $real NOT NULL,
    worker TEXT NOT NULL,
    PRIMARY KEY (run, number)
) $clustered;

CREATE VIEW task_runs AS
SELECT s.run, s.task, s.map_index, s.attempt, s.state, s.message, s.at, s.worker, s.number
FROM states s
JOIN (
    SELECT run, task, map_index, max(number) AS number FROM states GROUP BY run, task, map_index
) latest ON latest.run = s.run AND latest.number = s.number
WHERE s.task >= 0;
