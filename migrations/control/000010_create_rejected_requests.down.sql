-- What is lost: the requests refused lately, and how much each project has stored.

DROP TABLE authsync.inbox_usage;
DROP TABLE authsync.rejected_requests;
