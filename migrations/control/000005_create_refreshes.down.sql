-- What is lost by taking it back: the wishes to read users that were not fulfilled yet.

DROP TABLE authsync.refresh_requests;
