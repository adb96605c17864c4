// Package sql holds what the databases do: functions, views, triggers and
// grants, one object a file, applied again whenever a file changed.
package sql

import "embed"

// Control is applied to schema authsync in the control database.
//
//go:embed control
var Control embed.FS

// Project is applied to schema capydb_auth in a project database.
//
//go:embed project
var Project embed.FS
