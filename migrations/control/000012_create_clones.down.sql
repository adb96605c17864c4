-- Clones stay projects with the mirror that they have; nothing follows any more.
DROP TABLE authsync.clones;
