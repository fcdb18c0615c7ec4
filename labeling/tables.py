"""The label store's tables, as steps from one version of them to the next.

The rules that must hold for ever are triggers, so that no program can break them by mistake:
labels and queries are only ever added, and one labeler has one counting label per query.
"""

from __future__ import annotations


def _append_only(table: str) -> tuple[str, str]:
    return (
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: add a row instead'); END",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: nothing is ever deleted'); END",
    )


# INSERT OR REPLACE deletes rows without asking delete triggers; BEFORE INSERT triggers see it.
_VERSION_1 = (
    """CREATE TABLE queries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  query_id TEXT NOT NULL UNIQUE,
  asked_at_step INTEGER NOT NULL CHECK (asked_at_step >= 0),
  round INTEGER NOT NULL CHECK (round >= 0),
  strategy TEXT NOT NULL,
  is_random INTEGER NOT NULL CHECK (is_random IN (0, 1)),
  score REAL,
  asked_at_utc_ms INTEGER NOT NULL
)""",
    """CREATE TABLE query_clips (
  query_id TEXT NOT NULL REFERENCES queries (query_id),
  position INTEGER NOT NULL CHECK (position >= 0),
  clip_id TEXT NOT NULL CHECK (length(clip_id) = 64 AND clip_id NOT GLOB '*[^0-9a-f]*'),
  PRIMARY KEY (query_id, position)
) WITHOUT ROWID""",
    """CREATE TABLE labels (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  label_id TEXT NOT NULL UNIQUE,
  query_id TEXT NOT NULL REFERENCES queries (query_id),
  labeler TEXT NOT NULL,
  choice TEXT CHECK (choice IN ('left', 'right', 'equal', 'skip')),
  swapped INTEGER NOT NULL CHECK (swapped IN (0, 1)),
  shown_at_utc_ms INTEGER NOT NULL,
  answered_at_utc_ms INTEGER NOT NULL,
  ms_on_screen INTEGER NOT NULL CHECK (ms_on_screen >= 0),
  voids_seq INTEGER REFERENCES labels (seq)
)""",
    "CREATE INDEX labels_by_query ON labels (query_id, labeler)",
    # Partial, or the planner would walk all labels by their `voids_seq IS NULL`.
    "CREATE UNIQUE INDEX labels_by_voided ON labels (voids_seq) WHERE voids_seq IS NOT NULL",
    """CREATE VIEW current_labels AS SELECT * FROM labels AS given
WHERE voids_seq IS NULL
  AND NOT EXISTS (SELECT 1 FROM labels AS undoing WHERE undoing.voids_seq = given.seq)""",
    """CREATE TRIGGER queries_rules BEFORE INSERT ON queries BEGIN
  SELECT RAISE(ABORT, 'this query_id is already stored')
    WHERE EXISTS (SELECT 1 FROM queries WHERE query_id = NEW.query_id OR seq = NEW.seq);
END""",
    """CREATE TRIGGER query_clips_rules BEFORE INSERT ON query_clips BEGIN
  SELECT RAISE(ABORT, 'the clips of this query are already stored')
    WHERE EXISTS (SELECT 1 FROM query_clips
                  WHERE query_id = NEW.query_id AND position = NEW.position);
  SELECT RAISE(ABORT, 'a query that has labels cannot be given more clips')
    WHERE EXISTS (SELECT 1 FROM labels WHERE query_id = NEW.query_id);
END""",
    """CREATE TRIGGER labels_rules BEFORE INSERT ON labels BEGIN
  SELECT RAISE(ABORT, 'this label_id is already stored')
    WHERE EXISTS (SELECT 1 FROM labels WHERE label_id = NEW.label_id OR seq = NEW.seq);
  SELECT RAISE(ABORT, 'there is no such query; add it first')
    WHERE NOT EXISTS (SELECT 1 FROM queries WHERE query_id = NEW.query_id);
  SELECT RAISE(ABORT, 'a label has either a choice or a label that it voids')
    WHERE (NEW.choice IS NULL) = (NEW.voids_seq IS NULL);
  SELECT RAISE(ABORT, 'this labeler has already answered this query; undo that label first')
    WHERE NEW.voids_seq IS NULL AND EXISTS (
      SELECT 1 FROM current_labels WHERE query_id = NEW.query_id AND labeler = NEW.labeler);
  SELECT RAISE(ABORT, 'only a counting label of the same labeler and query can be voided')
    WHERE NEW.voids_seq IS NOT NULL AND NOT EXISTS (
      SELECT 1 FROM current_labels
      WHERE seq = NEW.voids_seq AND query_id = NEW.query_id AND labeler = NEW.labeler);
END""",
    *_append_only("queries"),
    *_append_only("query_clips"),
    *_append_only("labels"),
)

# What people need beside the answers themselves. `waiting` counts what is given by triggers, so that finding an open
# query stays as quick after 10,000 answers as after 10.
_VERSION_2 = (
    """CREATE TABLE waiting (
  query_id TEXT PRIMARY KEY REFERENCES queries (query_id),
  wanted INTEGER NOT NULL CHECK (wanted >= 1),
  given INTEGER NOT NULL DEFAULT 0 CHECK (given >= 0),
  is_withdrawn INTEGER NOT NULL DEFAULT 0 CHECK (is_withdrawn IN (0, 1)),
  only_labeler TEXT
)""",
    "CREATE INDEX waiting_open ON waiting (is_withdrawn) WHERE given < wanted AND is_withdrawn = 0",
    """CREATE TABLE withdrawals (
  query_id TEXT PRIMARY KEY REFERENCES queries (query_id),
  reason TEXT NOT NULL,
  withdrawn_at_utc_ms INTEGER NOT NULL
)""",
    """CREATE TABLE repeats (
  query_id TEXT PRIMARY KEY REFERENCES queries (query_id),
  of_query_id TEXT NOT NULL REFERENCES queries (query_id),
  labeler TEXT NOT NULL,
  UNIQUE (of_query_id, labeler)
)""",
    """CREATE TABLE imports (
  query_id TEXT PRIMARY KEY REFERENCES queries (query_id),
  source TEXT NOT NULL
)""",
    """CREATE TABLE leases (
  query_id TEXT NOT NULL REFERENCES queries (query_id),
  labeler TEXT NOT NULL,
  swapped INTEGER NOT NULL CHECK (swapped IN (0, 1)),
  leased_at_utc_ms INTEGER NOT NULL,
  expires_monotonic_ms INTEGER NOT NULL,
  PRIMARY KEY (query_id, labeler)
) WITHOUT ROWID""",
    """CREATE TABLE invites (
  token_sha256 TEXT PRIMARY KEY CHECK (length(token_sha256) = 64),
  name TEXT NOT NULL,
  is_operator INTEGER NOT NULL CHECK (is_operator IN (0, 1)),
  invited_at_utc_ms INTEGER NOT NULL
)""",
    "CREATE INDEX labels_by_labeler ON labels (labeler)",
    """CREATE TRIGGER labels_count_given AFTER INSERT ON labels BEGIN
  UPDATE waiting SET given = given + CASE WHEN NEW.voids_seq IS NULL THEN 1 ELSE -1 END
    WHERE query_id = NEW.query_id;
END""",
    """CREATE TRIGGER withdrawals_close AFTER INSERT ON withdrawals BEGIN
  UPDATE waiting SET is_withdrawn = 1 WHERE query_id = NEW.query_id;
END""",
    *_append_only("withdrawals"),
    *_append_only("repeats"),
    *_append_only("imports"),
)

# Leases by a clock that is never set, and only within the boot whose clock it is.
_VERSION_3 = (
    "ALTER TABLE leases ADD COLUMN leased_at_monotonic_ms INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE leases ADD COLUMN boot_id TEXT NOT NULL DEFAULT ''",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2, _VERSION_3)
"""Statements that lead from each schema version to the next, from an empty file on. Entries are
never edited, only added; a file's version is its `PRAGMA user_version`."""
