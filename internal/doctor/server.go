package doctor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
)

// server checks the running server from outside: that it is ready and accepts the key.
func (e *examination) server(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	url, key, keyErr := e.Server()
	if url == "" && keyErr != nil {
		return e.fault("server", Fault{What: keyErr.Error()})
	}
	c := client.New(url, key)
	defer c.Close()
	faults, err := unready(ctx, c)
	if err != nil {
		faults = []Fault{{What: err.Error(), Next: "start the server, or correct AUTHSYNC_URL"}}
	}
	if err := e.tell("server", url+" is ready", faults, nil); err != nil {
		return err
	}
	if err == nil && keyErr == nil {
		_, keyErr = c.Projects(ctx)
	}
	if client.Status(keyErr) == http.StatusForbidden {
		keyErr = nil // a project's key is valid, too
	}
	faults = nil
	switch {
	case err != nil && keyErr == nil:
		return nil // there was no server to ask
	case keyErr != nil:
		faults = []Fault{{What: keyErr.Error(), Next: "set AUTHSYNC_API_KEY to a key made with authsync keys create"}}
	}
	return e.tell("API key", "accepted", faults, nil)
}

func unready(ctx context.Context, c *client.Client) ([]Fault, error) {
	ready, err := c.Ready(ctx)
	if err != nil {
		return nil, err
	}
	var not []string
	for part, state := range ready.Parts {
		if state != "ok" {
			not = append(not, part+": "+state)
		}
	}
	if len(not) == 0 {
		return nil, nil
	}
	slices.Sort(not)
	what := "not ready: "
	if ready.Status == "ready" {
		what = "ready, but "
	}
	return []Fault{{What: what + strings.Join(not, "; "), Next: "see the log of the server"}}, nil
}

// database checks that the control database answers and has this binary's schema, which all further
// checks need.
func (e *examination) database(ctx context.Context) (url string, usable bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	secret, err := e.Database()
	if err != nil {
		return "", false, e.fault("control database", Fault{What: err.Error()})
	}
	url = secret.Reveal()
	state, err := schema.Status(ctx, url, schema.Control)
	if err != nil {
		err = e.fault("control database", Fault{What: pgdb.Describe(err), Next: "check that PostgreSQL runs, and DATABASE_URL"})
	} else {
		err = e.tell("control database", pgdb.SafeURL(url), nil, nil)
	}
	if err != nil || state.Database == "" {
		return url, false, err
	}
	fine := fmt.Sprintf("version %d, River %d", state.Version, state.RiverVersion)
	return url, state.UpToDate(), e.tell("control schema", fine, schemaFaults(state, "authsync migrate up"), nil)
}

// size warns if nothing will say that the control database becomes too large.
func (e *examination) size() error {
	if e.Unlimited == nil {
		return nil
	}
	var faults []Fault
	if *e.Unlimited {
		faults = []Fault{{
			What: "no limit is set, so nothing warns before its disk is full", Warning: true,
			Next: "set AUTHSYNC_DATABASE_LIMIT_BYTES, for the servers and here, to what the disk can hold",
		}}
	}
	return e.tell("control database size", "a limit is set", faults, nil)
}
