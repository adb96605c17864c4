package betterauth

import (
	"errors"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// NewEventSource catches what changes in the tables of a Better Auth server (option source; by default
// with Better Auth's own names), whoever changes them: direct SQL and hooks that never fire
// included. See package sqlsource for what that creates there.
func (Provider) NewEventSource(c provider.Credentials, o provider.Options, d userapi.Deps) (userapi.EventSource, error) {
	if d.SQL == nil {
		return nil, errors.New("the tables of a Better Auth server cannot be read from here")
	}
	var tables provider.UserTables
	if o.Source != nil {
		tables = *o.Source
	}
	if err := checkTables(tables); err != nil {
		return nil, err
	}
	opened, err := d.SQL(c.DatabaseURL, tables)
	if err != nil {
		return nil, err
	}
	source, is := opened.(userapi.EventSource)
	if !is {
		return nil, errors.New("better_auth: these tables cannot be watched")
	}
	return source, nil
}
