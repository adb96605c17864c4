-- What waits is taken up again by authsync events replay.

DROP TABLE authsync.inbox_pending;
DROP TABLE authsync.job_requests;
