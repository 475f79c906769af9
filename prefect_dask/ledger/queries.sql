-- What is asked of a ledger. Each query has a name and a line of purpose; ? stands for a value.

-- flow_runs: the latest runs, newest first
SELECT r.run_id, f.name, r.name, r.state, r.message, r.scheduled, r.begun, r.ended, r.parameters, r.coordinator,
       r.version, r.id
FROM flow_runs r JOIN flows f ON f.id = r.flow
WHERE (? = '' OR f.name = ?) AND (? = '' OR r.state = ?)
ORDER BY r.id DESC LIMIT ?;

-- flow_run: one run, by its id or the beginning of it
SELECT r.run_id, f.name, r.name, r.state, r.message, r.scheduled, r.begun, r.ended, r.parameters, r.coordinator,
       r.version, r.id
FROM flow_runs r JOIN flows f ON f.id = r.flow
WHERE r.run_id >= ? AND r.run_id < ?
ORDER BY r.run_id LIMIT 2;

-- run_ids: the ids of the latest runs, newest first
SELECT run_id FROM flow_runs ORDER BY id DESC LIMIT ?;

-- flows: the flows that ran, the one with the latest run first, and that run's state
SELECT each.name, each.versions, each.runs, r.run_id, r.state, r.begun, r.ended
FROM (SELECT f.name AS name, count(DISTINCT f.id) AS versions, count(*) AS runs, max(r.id) AS latest
      FROM flows f JOIN flow_runs r ON r.flow = f.id GROUP BY f.name) each
JOIN flow_runs r ON r.id = each.latest
ORDER BY each.latest DESC LIMIT ?;

-- contents: how much there is
SELECT (SELECT count(DISTINCT name) FROM flows), (SELECT count(*) FROM flow_runs),
       (SELECT count(*) FROM log_lines), (SELECT count(*) FROM artifacts),
       (SELECT count(*) FROM limits);

-- contents_of_run: how much there is of a run
SELECT (SELECT count(*) FROM (SELECT DISTINCT task, map_index FROM states WHERE run = ? AND task >= 0) AS task_runs),
       (SELECT count(*) FROM log_lines WHERE run = ?),
       (SELECT count(*) FROM artifacts WHERE run = ?);

-- held_runs: the runs that are not over, and who writes them
SELECT id, state, fence, lease_until, process, coordinator FROM flow_runs WHERE ended IS NULL;

-- kept_of_run: what is there of a run beside its record, to take it up again
SELECT fence, pickled, origin, durable FROM flow_runs WHERE id = ?;

-- flow_of_run: the flow as it was when it ran
SELECT f.digest, f.name, f.code, f.graph, f.first_seen
FROM flow_runs r JOIN flows f ON f.id = r.flow WHERE r.id = ?;

-- states: each change of state of a run, in order
SELECT number, task, map_index, attempt, state, message, at, worker, began, details
FROM states WHERE run = ? AND number > ? ORDER BY number;

-- states_of_task_run: each change of state of one task run, in order
SELECT number, task, map_index, attempt, state, message, at, worker, began, details
FROM states WHERE run = ? AND task = ? AND map_index = ? ORDER BY number;

-- task_runs: the latest state of each task run
SELECT s.number, s.task, s.map_index, s.attempt, s.state, s.message, s.at, s.worker, s.began, s.details
FROM states s
JOIN (SELECT max(number) AS number FROM states WHERE run = ? AND task >= 0 GROUP BY task, map_index) latest
  ON s.run = ? AND s.number = latest.number
ORDER BY s.task, s.map_index;

-- results: the results that were kept, or where they lie; of one task run the latest is last
SELECT number, task, map_index, location, value, size_bytes
FROM results WHERE run = ? AND number > ? ORDER BY number;

-- log_lines: what was logged, in order
SELECT number, task, map_index, level, logger, message, exception, at, worker
FROM log_lines WHERE run = ? AND number > ? ORDER BY number;

-- cluster_events: what happened to the cluster, in order
SELECT number, kind, worker, at, details FROM cluster_events WHERE run = ? ORDER BY number;

-- artifacts: what tasks made for people, in order
SELECT number, task, map_index, kind, name, at, data, location FROM artifacts WHERE run = ? ORDER BY number;

-- limit_names: what the limits are called
SELECT name FROM limits;

-- limits: how many task runs may be at work under each, and how many wait, as of a moment
SELECT l.name, l.slots, (
    SELECT coalesce(sum(w.waiting), 0) FROM slot_waits w WHERE w.limit_name = l.name AND w.asked > ?
)
FROM limits l ORDER BY l.name;

-- holders: who holds a slot, longest first; those of a process that lost its run until a moment
SELECT s.limit_name, r.run_id, f.name, s.task, s.map_index, s.attempt, s.since, r.coordinator
FROM slots s JOIN flow_runs r ON r.id = s.run JOIN flows f ON f.id = r.flow
WHERE s.until >= ? OR (r.fence = s.fence AND r.ended IS NULL)
ORDER BY s.since, s.run, s.task, s.map_index;

-- open_requests: what is asked of runs and nobody has taken, oldest first
SELECT q.id, q.run, r.run_id, q.kind, q.details, q.asker
FROM requests q JOIN flow_runs r ON r.id = q.run
WHERE q.done IS NULL AND q.taken IS NULL
ORDER BY q.id;

-- requests: what was asked of a run, oldest first
SELECT id, kind, details, asked, asker, taken, done, answer FROM requests WHERE run = ? ORDER BY id;
