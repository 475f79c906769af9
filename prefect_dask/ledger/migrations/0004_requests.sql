-- What is asked of runs that are going on, and how that was answered. Goes before the code that needs it; the code
-- before it goes on working.

CREATE TABLE requests (
    id $key,
    run $integer NOT NULL,
    kind TEXT NOT NULL,
    details TEXT NOT NULL,
    asked $real NOT NULL,
    asker TEXT NOT NULL,
    taken $real,
    done $real,
    answer TEXT
);

CREATE INDEX open_requests ON requests (run) WHERE done IS NULL;
