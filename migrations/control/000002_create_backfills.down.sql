-- Forgets all runs; their jobs end by themselves. What they mirrored stays.
DROP TABLE authsync.sync_runs;
