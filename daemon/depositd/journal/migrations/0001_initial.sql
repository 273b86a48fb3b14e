-- Paths and names are BLOBs in the file system's own bytes; times are UTC ISO 8601 text with microseconds,
-- so that they sort as they follow; JSON columns hold plain values.

CREATE TABLE datasets (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    rule            TEXT    NOT NULL,              -- '' for a dataset that was submitted by hand
    format          TEXT    NOT NULL,
    root            BLOB    NOT NULL,              -- the watched directory, absolute
    directory       BLOB    NOT NULL,              -- relative to root
    key             BLOB    NOT NULL,              -- tells datasets of one directory apart
    location        BLOB    NOT NULL,              -- root/directory: with format and key, the dataset's identity
    generation      INTEGER NOT NULL DEFAULT 1,
    current         INTEGER NOT NULL DEFAULT 1,    -- 0 once a newer generation exists
    name            BLOB    NOT NULL,
    path            BLOB    NOT NULL,              -- absolute; what users see
    relative_path   BLOB    NOT NULL,              -- of the first file, for the rule's path expression
    state           TEXT    NOT NULL,
    verdict         TEXT    NOT NULL,
    evidence        TEXT    NOT NULL,              -- JSON list of clauses
    files           INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    frames          TEXT,                          -- JSON or NULL
    fingerprint     TEXT    NOT NULL,
    origin          TEXT,                          -- tells this acquisition from another one of the same name
    condemned       TEXT,                          -- a fingerprint whose content was found corrupt
    header          TEXT    NOT NULL DEFAULT '{}', -- metadata read from file headers
    sidecar         TEXT    NOT NULL DEFAULT '{}', -- metadata read from sidecar files
    sidecar_problem TEXT,
    metadata        TEXT    NOT NULL DEFAULT '{}', -- resolved, as last seen
    first_seen      TEXT    NOT NULL,
    forgotten_at    TEXT,                          -- the journal was lost then: what was sent of it before is not known
    pruned_at       TEXT,                          -- all but the last facts of its history were removed then
    completed_at    TEXT,
    archived_at     TEXT,
    pack_failures   INTEGER NOT NULL DEFAULT 0,
    next_pack_at    TEXT,
    pack_error      TEXT,
    pack_hint       TEXT,
    -- the last column: whoever reads the others does not come by its megabytes
    manifest        BLOB                           -- the files as they were judged: see records.py
);
CREATE UNIQUE INDEX datasets_identity ON datasets (format, location, key, generation);
CREATE INDEX datasets_name ON datasets (name) WHERE current = 1;
CREATE INDEX datasets_path ON datasets (path) WHERE current = 1;
CREATE INDEX datasets_location ON datasets (location) WHERE current = 1;
CREATE INDEX datasets_current ON datasets (root, state) WHERE current = 1;
-- all that decides whether a dataset is packed next: of 10,000 that wait not one row is read in vain
CREATE INDEX datasets_state ON datasets (state, completed_at, id, next_pack_at, current, bytes);
CREATE INDEX datasets_incomplete ON datasets (id, next_pack_at, current, completed_at, bytes) WHERE state = 'incomplete';
CREATE INDEX datasets_archived ON datasets (rule, archived_at) WHERE archived_at IS NOT NULL;
CREATE INDEX datasets_put_off ON datasets (id) WHERE pack_error IS NOT NULL;
CREATE INDEX datasets_waits ON datasets (next_pack_at) WHERE next_pack_at IS NOT NULL;

CREATE TABLE archives (
    dataset_id INTEGER NOT NULL REFERENCES datasets (id),
    packing    TEXT    NOT NULL,
    path       BLOB,                               -- NULL once it was removed from the spool
    name       BLOB    NOT NULL,
    bytes      INTEGER NOT NULL,
    md5        TEXT    NOT NULL,
    inner_md5  TEXT    NOT NULL,
    sha256     TEXT    NOT NULL,
    level      INTEGER,
    why        TEXT    NOT NULL DEFAULT '',        -- how the level was chosen
    made_at    TEXT    NOT NULL,
    blocks     BLOB    NOT NULL DEFAULT x'',       -- 40 bytes each: size, SHA-256
    members    BLOB    NOT NULL,
    PRIMARY KEY (dataset_id, packing)
) WITHOUT ROWID;
CREATE INDEX archives_sha256 ON archives (sha256);
CREATE INDEX archives_in_spool ON archives (dataset_id, bytes, path) WHERE path IS NOT NULL;

CREATE TABLE deliveries (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id      INTEGER NOT NULL REFERENCES datasets (id),
    destination     TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    approve         TEXT    NOT NULL,              -- auto or manual
    ready           INTEGER NOT NULL DEFAULT 0,    -- its dataset is archived: what is due is found by an index
    attempts        INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,    -- in a row
    next_attempt_at TEXT,
    remote_id       TEXT,
    remote_status   TEXT,
    error           TEXT,
    hint            TEXT,
    hold            TEXT,                          -- why it is held
    consents        TEXT    NOT NULL DEFAULT '[]', -- kinds of hold that the operator has released
    released        TEXT,                          -- the destination's hold that the operator released, as it was said
    operator_values TEXT    NOT NULL DEFAULT '{}', -- release --set, submit --set
    baseline        TEXT    NOT NULL DEFAULT '{}',
    sent_at         TEXT,                          -- a send began and its answer is not known
    replaces        TEXT,                          -- what the destination deletes first (retry --replace)
    ended_at        TEXT,
    UNIQUE (dataset_id, destination)
);
CREATE INDEX deliveries_due ON deliveries (destination, state, ready, next_attempt_at);
CREATE INDEX deliveries_asks ON deliveries (destination, state, next_attempt_at);
CREATE INDEX deliveries_state ON deliveries (state, ready, dataset_id);
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX deliveries_sent ON deliveries (sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX deliveries_waits ON deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- What a server measured of what it was sent; a row for each delivery whose results are looked for.

CREATE TABLE results (
    delivery_id  INTEGER PRIMARY KEY REFERENCES deliveries (id),
    destination  TEXT    NOT NULL,
    run_key      TEXT,
    raw_file     TEXT,
    columns      TEXT    NOT NULL DEFAULT '{}',    -- JSON: the configured QC columns as the server gave them
    action       TEXT,                             -- flag or reject, recorded before the server is asked to
    reason       TEXT,                             -- one sentence: why, or why there is no result yet
    hint         TEXT,
    wanted_since TEXT    NOT NULL,
    found_at     TEXT,
    marked_at    TEXT,                             -- the server has taken the action, or had another one before
    ended_at     TEXT,                             -- nothing more is looked for
    next_look_at TEXT,
    failures     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX results_due ON results (destination, next_look_at) WHERE ended_at IS NULL;

CREATE TABLE history (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset_id  INTEGER NOT NULL REFERENCES datasets (id),
    delivery_id INTEGER REFERENCES deliveries (id),
    at          TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    detail      TEXT    NOT NULL
);
CREATE INDEX history_dataset ON history (dataset_id);
CREATE TRIGGER history_is_append_only_update BEFORE UPDATE ON history
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
-- save for what ended long ago, while the note of that stands: see pruning.py
CREATE TRIGGER history_is_append_only_delete BEFORE DELETE ON history
WHEN NOT EXISTS (SELECT 1 FROM notes WHERE name = 'pruning')
  OR EXISTS (SELECT 1 FROM deliveries WHERE dataset_id = OLD.dataset_id AND state NOT IN ('delivered', 'skipped'))
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;

-- What the journal knows of itself: when it was lost and what took its place, how its backups stand.

CREATE TABLE notes (
    name TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    hint TEXT,
    at   TEXT NOT NULL
) WITHOUT ROWID;

-- Watched directories that were swept since the journal was lost: what is found in them later is new.
CREATE TABLE swept_roots (
    root BLOB PRIMARY KEY
) WITHOUT ROWID;

-- How things stand outside the datasets.

CREATE TABLE sources (
    root       BLOB PRIMARY KEY,
    state      TEXT NOT NULL,                      -- watched or unavailable
    means      TEXT NOT NULL,                      -- one sentence: by which means it is watched
    problem    TEXT,
    swept_at   TEXT,
    files      INTEGER,
    duration_s REAL
) WITHOUT ROWID;

CREATE TABLE destinations (
    name          TEXT PRIMARY KEY,
    state         TEXT    NOT NULL,                -- paused (our credentials), away, or doubted: it may be away
    reason        TEXT,
    hint          TEXT,
    since         TEXT    NOT NULL,
    failures      INTEGER NOT NULL DEFAULT 0,      -- how often it was asked in vain, in a row
    next_probe_at TEXT,
    steps         INTEGER NOT NULL DEFAULT 0,      -- that failed in a row, before it was known to be away
    waiting       TEXT    NOT NULL DEFAULT '[]',   -- JSON: the deliveries that were put off by it
    noted_at      TEXT    NOT NULL                 -- of doubted: when something was noted last
) WITHOUT ROWID;

-- Live progress; never needed for recovery.

CREATE TABLE progress (
    subject     TEXT PRIMARY KEY,                  -- 'dataset 3' or 'delivery 7'
    activity    TEXT NOT NULL,
    done_bytes  INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    at          TEXT NOT NULL
) WITHOUT ROWID;

-- How fast things went and how much space there was during the last day; never needed for recovery.

CREATE TABLE rates (
    id          INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL,                  -- archived or sent
    destination TEXT    NOT NULL,                  -- '' for archiving
    telling     INTEGER NOT NULL,                  -- large enough for its rate to tell something
    bytes       INTEGER NOT NULL,
    seconds     REAL    NOT NULL,
    at          TEXT    NOT NULL                   -- its end
);
CREATE INDEX rates_kind ON rates (kind, destination, telling, at);
CREATE INDEX rates_at ON rates (at);

CREATE TABLE space (
    what       BLOB    NOT NULL,                   -- the directory of the spool or of a source; quota
    at         TEXT    NOT NULL,
    free_bytes INTEGER NOT NULL,
    device     INTEGER NOT NULL,                   -- st_dev: of another file system, nothing follows for this one
    PRIMARY KEY (what, at)
) WITHOUT ROWID;
CREATE INDEX space_at ON space (at);
