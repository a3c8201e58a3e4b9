-- A fleet's file. What must never be is refused here, whatever program writes: a result that
-- changes, a device handed out twice, two rollouts at once.
-- Times are seconds since 1970, UTC.

-- What a device may run. sha256 is '' where nobody told it.
CREATE TABLE images (
    number INTEGER PRIMARY KEY,
    version TEXT NOT NULL CHECK (version <> ''),
    sha256 TEXT NOT NULL CHECK (sha256 = '' OR (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*')),
    UNIQUE (version, sha256)
);

-- Which images are the same as far as is known.
CREATE VIEW same_images AS
SELECT one.number AS image, other.number AS target
FROM images AS one JOIN images AS other
    ON one.version = other.version AND (one.sha256 = other.sha256 OR '' IN (one.sha256, other.sha256));

-- image: what it runs as far as is known, NULL for unknown; told: whether the device or the
-- operator said so (1), or it follows from a result without a version (0).
CREATE TABLE devices (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    hardware TEXT NOT NULL DEFAULT '',
    image INTEGER REFERENCES images,
    told INTEGER NOT NULL DEFAULT 1 CHECK (told IN (0, 1)),
    online INTEGER NOT NULL DEFAULT 1 CHECK (online IN (0, 1)),
    seen INTEGER
);

-- One operation on the fleet. A rollback is one too: it undoes another, device by device.
-- reach: how many of its devices, by rank, may have the update so far.
-- accepted_*: results up to a resume by hand, which no longer count against it.
CREATE TABLE rollouts (
    number INTEGER PRIMARY KEY,
    undoes INTEGER REFERENCES rollouts,
    image INTEGER REFERENCES images,
    hardware TEXT,
    policy TEXT NOT NULL,
    devices INTEGER NOT NULL CHECK (devices > 0),
    reach INTEGER NOT NULL CHECK (reach BETWEEN 1 AND devices),
    state TEXT NOT NULL CHECK (state IN ('running', 'halted', 'complete')),
    accepted_succeeded INTEGER NOT NULL DEFAULT 0 CHECK (accepted_succeeded >= 0),
    accepted_failed INTEGER NOT NULL DEFAULT 0 CHECK (accepted_failed >= 0),
    started INTEGER NOT NULL,
    CHECK ((undoes IS NULL) = (image IS NOT NULL))
);

CREATE UNIQUE INDEX one_runs ON rollouts (state) WHERE state = 'running';

CREATE TRIGGER reach_only_grows BEFORE UPDATE OF reach ON rollouts
WHEN NEW.reach < OLD.reach
BEGIN SELECT RAISE(ABORT, 'the reach of a rollout only grows'); END;

CREATE TRIGGER complete_stays BEFORE UPDATE OF state ON rollouts
WHEN OLD.state = 'complete' AND NEW.state <> 'complete'
BEGIN SELECT RAISE(ABORT, 'a complete rollout stays complete'); END;

CREATE TRIGGER only_the_newest_runs BEFORE UPDATE OF state ON rollouts
WHEN NEW.state = 'running' AND EXISTS (SELECT 1 FROM rollouts WHERE number > NEW.number)
BEGIN SELECT RAISE(ABORT, 'only the newest rollout runs'); END;

-- A device in a rollout: its place in the order of update, what it is to run, and its result.
-- previous: what it ran when it was handed out, NULL for unknown.
-- unanswered: handed out without a result when the next rollout started.
CREATE TABLE updates (
    rollout INTEGER NOT NULL REFERENCES rollouts,
    rank INTEGER NOT NULL CHECK (rank > 0),
    device INTEGER NOT NULL REFERENCES devices,
    target INTEGER NOT NULL REFERENCES images,
    state TEXT NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'claimed', 'ok', 'failed', 'unanswered')),
    previous INTEGER REFERENCES images,
    worker TEXT,
    claimed INTEGER,
    finished INTEGER,
    detail TEXT,
    PRIMARY KEY (rollout, rank),
    UNIQUE (rollout, device),
    CHECK ((state = 'waiting') = (claimed IS NULL)),
    CHECK ((state IN ('waiting', 'claimed')) = (finished IS NULL))
) WITHOUT ROWID;

CREATE INDEX waiting ON updates (rollout, rank) WHERE state = 'waiting';

-- Handed out once, within reach of a running rollout; then one result.
CREATE TRIGGER updates_go_one_way AFTER UPDATE OF state ON updates
WHEN NOT (OLD.state = 'claimed' AND NEW.state IN ('ok', 'failed', 'unanswered')
    OR OLD.state = 'waiting' AND NEW.state = 'claimed' AND EXISTS (
        SELECT 1 FROM rollouts
        WHERE number = NEW.rollout AND state = 'running' AND reach >= NEW.rank))
BEGIN SELECT RAISE(ABORT, 'an update is handed out once, within reach, and has one result'); END;

CREATE TRIGGER claims_end_before_the_next_rollout BEFORE INSERT ON rollouts
WHEN EXISTS (SELECT 1 FROM updates WHERE state = 'claimed')
BEGIN SELECT RAISE(ABORT, 'devices are still handed out'); END;

CREATE TRIGGER updates_stay BEFORE DELETE ON updates
BEGIN SELECT RAISE(ABORT, 'updates are never forgotten'); END;

-- Devices that were not handed out yet; there: an update that is not needed any more.
CREATE VIEW waiting_devices AS
SELECT rollout, rank, device, devices.id, devices.hardware, devices.online,
    rollouts.undoes IS NULL AND EXISTS (
        SELECT 1 FROM same_images
        WHERE same_images.image = devices.image AND same_images.target = updates.target) AS there
FROM updates
JOIN devices ON devices.number = device
JOIN rollouts ON rollouts.number = rollout
WHERE updates.state = 'waiting';

-- Devices that were handed out, whatever came of it.
CREATE VIEW handed_out AS
SELECT rollout, rank, updates.state, worker, devices.id, devices.hardware,
    before.version AS from_version, after.version AS to_version,
    NULLIF(after.sha256, '') AS to_sha256
FROM updates
JOIN devices ON devices.number = device
JOIN images AS after ON after.number = updates.target
LEFT JOIN images AS before ON before.number = updates.previous
WHERE updates.state <> 'waiting';

-- How many devices of a rollout run what, beside what they should run.
CREATE VIEW outcomes AS
SELECT *, EXISTS (
    SELECT 1 FROM same_images
    WHERE same_images.image = counted.image AND same_images.target = counted.target) AS same
FROM (
    SELECT rollout, updates.state, target, image, told, COUNT(*) AS devices
    FROM updates JOIN devices ON devices.number = device
    GROUP BY rollout, updates.state, target, image, told) AS counted;

-- A device as people see it: updating while it is handed out, whatever was last heard of it.
CREATE VIEW listed_devices AS
SELECT id, hardware, version, sha256, seen,
    CASE
        WHEN EXISTS (
            SELECT 1 FROM updates WHERE rollout = (SELECT MAX(number) FROM rollouts)
            AND device = devices.number AND updates.state = 'claimed')
            THEN 'updating'
        WHEN online THEN 'online'
        ELSE 'offline'
    END AS state
FROM devices LEFT JOIN images ON images.number = devices.image;

-- Every decision, by the policy or by hand, with the counts that it saw.
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY,
    rollout INTEGER NOT NULL REFERENCES rollouts,
    at INTEGER NOT NULL,
    action TEXT NOT NULL
        CHECK (action IN ('start', 'continue', 'hold', 'halt', 'resume', 'rollback', 'complete')),
    by_hand INTEGER NOT NULL CHECK (by_hand IN (0, 1)),
    reason TEXT NOT NULL,
    succeeded INTEGER NOT NULL CHECK (succeeded >= 0),
    failed INTEGER NOT NULL CHECK (failed >= 0),
    reach INTEGER NOT NULL
);
