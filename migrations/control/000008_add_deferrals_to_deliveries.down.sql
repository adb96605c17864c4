-- What was put off is counted anew.

COMMENT ON COLUMN authsync.deliveries.state
    IS 'blocked: an earlier one of the same user comes first; ready; retrying: failed, with a job of its own; '
       'delivered; coalesced: united with coalesced_into; failed; cancelled.';

ALTER TABLE authsync.destination_progress DROP COLUMN last_success_sent_at;

ALTER TABLE authsync.deliveries
    DROP COLUMN deferred_at,
    DROP COLUMN deferrals;
