package payload_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

func memberships() payload.Mapping {
	return payload.Mapping{Type: record.Membership, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.OrganizationID, Path: "organization.id"},
		{Field: payload.UserID, Path: "user"},
		{Field: payload.Role, Path: "role"},
		{Field: payload.Roles, Path: "role"},
		{Field: payload.Permissions, Path: "can"},
	}}
}

// read reads the values of an object, and of what it was before, if that is not "".
func read(t *testing.T, m payload.Mapping, object, previous string, o provider.Options) payload.Change {
	t.Helper()
	c := payload.Change{Mapping: m, Path: "o", Object: parse(t, object)}
	if previous != "" {
		c.Previous = parse(t, previous)
	}
	d := provider.Message{ReceivedAt: received()}
	e := payload.New(d, 0)
	require.True(t, c.Read(d, &e, o))
	return c
}

func TestKeysInAnObjectOfTheObject(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]string{
		`{"organization":{"id":"o"}}`:                                   `"o"`,
		`{"organization":{"id":"o","id":"p"}}`:                          `"p"`,
		`{"organization":{"id":"o"},"organization":{"id":"p"}}`:         `"p"`,
		`{"organization":{"id":"o"},"organization":{}}`:                 ``,
		`{"organization":{"id":null}}`:                                  `null`,
		`{"organization":null}`:                                         `null`,
		`{"organization":"o"}`:                                          ``,
		`{"organization":["o"]}`:                                        ``,
		`{"organization.id":"o"}`:                                       ``,
		`{"organization":{"id":"o"},"organization.id":"p"}`:             `"o"`,
		`{"org":{"id":"o"},"":{"id":"o"},"organization.":{"id":"o"}}`:   ``,
		`{"organization":{"id":"o"},"organizations":{"id":"p"},"o":{}}`: `"o"`,
	} {
		c := read(t, memberships(), object, "", provider.Options{})
		require.Equal(t, want, string(c.Values[payload.OrganizationID]), object)
		require.Empty(t, c.Values[payload.UserID], object)
	}
}

func TestGoneAndAbsentKeysOfRecords(t *testing.T) {
	t.Parallel()
	const object, previous = `{"user":"u"}`, `{"id":"m","organization":{"id":"o"},"user":"u","role":"r","can":[]}`
	c := read(t, memberships(), object, previous, provider.Options{})
	for _, field := range []payload.Field{payload.Role, payload.Roles, payload.Permissions} {
		require.Equal(t, payload.Null(), c.Values[field])
	}
	for _, o := range []provider.Options{{}, {AbsentFields: provider.ClearAbsent}} {
		c = read(t, memberships(), object, previous, o)
		require.True(t, c.Values[payload.OrganizationID].IsAbsent(), "an id is never cleared")
		require.True(t, c.Values[payload.ID].IsAbsent(), "an id is never cleared")
	}
	c = read(t, memberships(), object, "", provider.Options{AbsentFields: provider.ClearAbsent})
	require.Equal(t, payload.Null(), c.Values[payload.Role])
	c = read(t, memberships(), object, "", provider.Options{})
	require.True(t, c.Values[payload.Role].IsAbsent())
}
