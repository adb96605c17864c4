// Package migrations holds the numbered migrations: tables, types, indexes and
// data of the control database (control/) and of a project database (project/).
// What the databases do, functions and views, is in package sql.
package migrations

import "embed"

// Control creates schema authsync in the control database.
//
//go:embed control/*.sql
var Control embed.FS

// Project creates schema capydb_auth in a project database.
//
//go:embed project/*.sql
var Project embed.FS
