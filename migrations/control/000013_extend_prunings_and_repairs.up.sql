-- Since when the pruning of a mirror leaves rows that are past their retention, and how far the repair of a mirror is with
-- those who were erased.
--
-- Why:   that some rows stay for a while is usual, such as what a deletion needs that is held back; that some stay for weeks is a
--        destination that somebody has forgotten. The reason alone does not tell them apart. And a mirror that was restored
--        from a backup has everybody whom it had then: who was erased since must be found and erased again, in steps.
-- Locks: the three tables for a moment; defaults are constants.

ALTER TABLE authsync.mirror_prunings ADD COLUMN held_since timestamptz;

COMMENT ON COLUMN authsync.mirror_prunings.held_since IS 'When an attempt first left such rows, of those without one between that left none; NULL: none stay, or it is not known.';

ALTER TABLE authsync.mirror_repairs
    ADD COLUMN searched_table text,
    ADD COLUMN searched_to bigint NOT NULL DEFAULT 0,
    ADD COLUMN returned_users bigint NOT NULL DEFAULT 0,
    ADD COLUMN erased_at timestamptz;

COMMENT ON COLUMN authsync.mirror_repairs.searched_table IS 'The table of the mirror that is searched for users who had been erased; NULL: the search has not begun.';
COMMENT ON COLUMN authsync.mirror_repairs.searched_to IS 'Its blocks before this one have been searched.';
COMMENT ON COLUMN authsync.mirror_repairs.returned_users IS 'Number of users whom the mirror had again although they had been erased, and whose erasure was begun again.';
COMMENT ON COLUMN authsync.mirror_repairs.erased_at IS 'When the mirror had none of them any more; nothing is applied again before.';

ALTER TABLE authsync.erasures ADD COLUMN invitation_digests bytea[] NOT NULL DEFAULT '{}';

COMMENT ON COLUMN authsync.erasures.invitation_digests IS 'The digests of the invitations that were erased with the person, as in capydb_auth.erasures.';
