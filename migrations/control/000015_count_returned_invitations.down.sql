-- Forgets how many invitations of erased persons repairs have removed.
ALTER TABLE authsync.mirror_repairs DROP COLUMN returned_invitations;
