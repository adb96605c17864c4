-- Since when the pruning of a mirror leaves rows that are past their retention.
--
-- Why:   that some stay for a while is usual, such as what a deletion needs that is held back; that some stay for weeks is a
--        destination that somebody has forgotten. The reason alone does not tell them apart.
-- Locks: authsync.mirror_prunings for a moment; the column has no default.

ALTER TABLE authsync.mirror_prunings ADD COLUMN held_since timestamptz;

COMMENT ON COLUMN authsync.mirror_prunings.held_since IS 'When an attempt first left such rows, of those without one between that left none; NULL: none stay, or it is not known.';
