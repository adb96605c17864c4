-- Removes half-copied days, which the next pruning would begin again, and how far the mirrors are pruned.
DROP TABLE authsync.mirror_prunings;
DROP TABLE authsync.inbox_rewrite_changes;
DROP TABLE authsync.inbox_rewrites;
