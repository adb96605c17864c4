-- How often the other side put a delivery off that alone was meant.
--
-- Why:   an answer "later" costs no attempt, for it speaks of the destination. One that is given to
--        the same user each time, while others get through, must come to an end.
-- Locks: deliveries and destination_progress, exclusively, for a moment: no row is written.

ALTER TABLE authsync.deliveries
    -- squawk-ignore prefer-bigint-over-int
    ADD COLUMN deferrals   integer NOT NULL DEFAULT 0,
    ADD COLUMN deferred_at timestamptz;

ALTER TABLE authsync.destination_progress
    ADD COLUMN last_success_sent_at timestamptz;

COMMENT ON COLUMN authsync.deliveries.deferrals
    IS 'How often the other side put it off (429, 503) after it had done so before, and then let one through that was sent later.';
COMMENT ON COLUMN authsync.deliveries.deferred_at
    IS 'When it was sent that the other side put off the last time; NULL: never since it was taken up.';
COMMENT ON COLUMN authsync.destination_progress.last_success_sent_at
    IS 'When that was sent which was sent last of all that got through.';
COMMENT ON COLUMN authsync.deliveries.state
    IS 'blocked: an earlier one of the same user comes first; ready; retrying: failed or put off, with a job of its own; '
       'delivered; coalesced: united with coalesced_into; failed; cancelled.';
