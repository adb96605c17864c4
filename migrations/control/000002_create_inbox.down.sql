-- Removes the inbox: messages not yet applied are lost, and so are all outcomes. The mirrors stay.
DROP TABLE authsync.rejected_requests;
DROP TABLE authsync.message_counts;
DROP TABLE authsync.inbox_usage;
DROP TABLE authsync.inbox_pending;
DROP TABLE authsync.event_outcomes;
DROP TABLE authsync.inbox;
