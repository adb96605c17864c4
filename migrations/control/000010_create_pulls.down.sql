-- Removes the cursors of pulled integrations. What was pulled stays; pulling anew begins at the time of that.
DROP TABLE authsync.pulls;
