-- What was lost by a restore and is not back yet stays lost until somebody replays it.
DROP TABLE authsync.mirror_repairs;
DROP TABLE authsync.mirror_progress;
