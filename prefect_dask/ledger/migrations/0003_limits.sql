-- Concurrency limits, who holds a slot under one, and who waits. Goes before the code that needs it; the code
-- before it goes on working, and knows no limits.

CREATE TABLE limits (
    name TEXT NOT NULL,
    slots $integer NOT NULL,
    since $real NOT NULL,
    PRIMARY KEY (name)
) $clustered;

CREATE TABLE slots (
    limit_name TEXT NOT NULL,
    run $integer NOT NULL,
    fence $integer NOT NULL,
    task $integer NOT NULL,
    map_index $integer NOT NULL,
    generation $integer NOT NULL,
    attempt $integer NOT NULL,
    since $real NOT NULL,
    until $real NOT NULL,
    PRIMARY KEY (limit_name, run, fence, task, map_index, generation)
) $clustered;

CREATE INDEX slots_by_run ON slots (run, fence);

CREATE TABLE slot_waits (
    limit_name TEXT NOT NULL,
    run $integer NOT NULL,
    fence $integer NOT NULL,
    waiting $integer NOT NULL,
    since $real NOT NULL,
    asked $real NOT NULL,
    PRIMARY KEY (limit_name, run, fence)
) $clustered;

CREATE INDEX slot_waits_by_run ON slot_waits (run, fence);
