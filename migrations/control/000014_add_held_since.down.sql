-- Forgets since when rows past their retention stay.
ALTER TABLE authsync.mirror_prunings DROP COLUMN held_since;
