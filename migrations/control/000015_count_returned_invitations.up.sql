-- How many invitations of erased persons the repair of a mirror has removed again.
--
-- Why:   a backup that was taken in the middle of an erasure may have an invitation to a person whose row was gone already. It is found
--        by its own digest and removed without another erasure of the person, whose id nobody knows any more: it has no receipt, and
--        must be counted elsewhere.
-- Locks: the table for a moment; the default is a constant.

ALTER TABLE authsync.mirror_repairs ADD COLUMN returned_invitations bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN authsync.mirror_repairs.returned_invitations IS 'Number of invitations that the mirror had again although they had been erased, and that were removed.';
