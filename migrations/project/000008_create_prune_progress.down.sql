-- Removes how far the change feed is pruned. What was pruned stays so; pruning begins at the first change again.
DROP TABLE capydb_auth.prune_progress;
