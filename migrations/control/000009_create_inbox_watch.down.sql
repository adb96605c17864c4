-- Nothing is lost: the next look would begin with the oldest delivery.

DROP TABLE authsync.inbox_late;
DROP TABLE authsync.inbox_watch;
