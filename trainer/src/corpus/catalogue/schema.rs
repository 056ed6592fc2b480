//! The catalogue's tables.

/// Everything in a new catalogue.
pub(super) const SCHEMA: &str = "
CREATE TABLE roots (
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE,       -- folder or archive that was scanned
  source TEXT NOT NULL
);
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  root INTEGER NOT NULL REFERENCES roots ON DELETE CASCADE,
  path TEXT NOT NULL,              -- relative to the root; empty where the root is a file
  bytes INTEGER NOT NULL,
  modified INTEGER NOT NULL,       -- nanoseconds since 1970
  complete INTEGER NOT NULL,       -- all of it was read
  scan INTEGER NOT NULL,           -- the last scan that met it
  UNIQUE (root, path)
);
CREATE TABLE volumes (
  id INTEGER PRIMARY KEY,
  file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
  member TEXT NOT NULL,            -- name within an archive, else empty
  position INTEGER,                -- of a member: its offset in a .tar, its index in a .zip
  frame INTEGER NOT NULL,          -- index within a file of several volumes, else -1
  name TEXT NOT NULL,              -- the same wherever the corpus lies
  source TEXT NOT NULL,
  subject TEXT, session TEXT, sequence TEXT NOT NULL,
  bytes INTEGER NOT NULL, sha256 TEXT,
  shape_x INTEGER, shape_y INTEGER, shape_z INTEGER, dims TEXT,
  spacing_x REAL, spacing_y REAL, spacing_z REAL,
  orientation TEXT, datatype TEXT,
  manufacturer TEXT, scanner TEXT, field_strength REAL, site TEXT,
  age REAL, sex TEXT,
  min REAL, max REAL, mean REAL, deviation REAL, non_finite INTEGER,
  voxels TEXT,                     -- hash of shape and values
  foreground_share REAL, foreground_mean REAL, foreground_deviation REAL,
  foreground_median REAL, foreground_p99 REAL,
  foreground_box TEXT,             -- [[first voxel], [voxels]]
  reasons TEXT NOT NULL,           -- why it is not used: codes joined by commas
  error TEXT,
  duplicate_of TEXT,               -- name of another volume with the same voxels
  kept INTEGER,                    -- verdict of a corpus description, null without one
  verdict TEXT,                    -- its words
  weight REAL,                     -- how often it is drawn, beside others
  quarantined TEXT,                -- why preparing it failed
  UNIQUE (file, member, frame)
);
CREATE INDEX volumes_voxels ON volumes (voxels);
CREATE INDEX volumes_name ON volumes (name);
CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
";

/// Adds a volume.
pub(super) const INSERT: &str = "
INSERT OR REPLACE INTO volumes (
  file, member, frame, name, source, subject, session, sequence, bytes, sha256,
  shape_x, shape_y, shape_z, dims, spacing_x, spacing_y, spacing_z, orientation, datatype,
  manufacturer, scanner, field_strength, site, age, sex,
  min, max, mean, deviation, non_finite, voxels,
  foreground_share, foreground_mean, foreground_deviation, foreground_median, foreground_p99,
  foreground_box, reasons, error, position
) VALUES (
  ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
  ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40
)";
