-- Forgets which webhooks authsync made at the providers. They stay there, and are adopted when they are asked for again.
DROP TABLE authsync.provisioned_webhooks;
