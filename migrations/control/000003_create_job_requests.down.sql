-- Forgets which jobs were requested. What they would have done is requested again by the next event, or by a replay.
DROP TABLE authsync.job_requests;
