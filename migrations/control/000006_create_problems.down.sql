-- Removes problems and what was learned about pauses; authsync learns again for two weeks before it notices silence.
DROP TABLE authsync.probes;
DROP TABLE authsync.integration_activity;
DROP TABLE authsync.watch_state;
DROP TABLE authsync.problem_calls;
DROP TABLE authsync.problems;
