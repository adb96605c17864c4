-- Forgets since when rows past their retention stay, and which invitations were erased; a running repair searches anew.
ALTER TABLE authsync.erasures DROP COLUMN invitation_digests;
ALTER TABLE authsync.mirror_repairs
    DROP COLUMN searched_table,
    DROP COLUMN searched_to,
    DROP COLUMN returned_users,
    DROP COLUMN erased_at;
ALTER TABLE authsync.mirror_prunings DROP COLUMN held_since;
