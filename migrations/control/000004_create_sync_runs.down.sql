-- Forgets all runs, refresh requests and repairs. What they wrote to the mirrors stays; what they had yet to do is lost.
DROP TABLE authsync.mirror_repairs;
DROP TABLE authsync.mirror_progress;
DROP TABLE authsync.refresh_requests;
DROP TABLE authsync.sync_runs;
