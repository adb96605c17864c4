-- Nothing is lost that is not known elsewhere; two projects may then mix their users.
DROP TABLE capydb_auth.owner;
