-- Integrations whose options name no schedule are no longer reconciled by themselves.

ALTER TABLE authsync.integrations
    DROP COLUMN reconcile_default;
