package destination_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
)

func TestEventTypesAreExpanded(t *testing.T) {
	t.Parallel()
	require.Len(t, destination.EventTypes(), 20)
	require.Equal(t, []string{"user.created", "user.updated", "user.deleted", "user.restored"}, destination.DefaultEventTypes())
	expanded, err := destination.ExpandEventTypes([]string{"organization.*", "user.deleted", "organization.created"})
	require.NoError(t, err)
	require.Equal(t, []string{"organization.created", "organization.deleted", "organization.restored", "organization.updated", "user.deleted"}, expanded)
	for _, unknown := range []string{"user.renamed", "role.created", "*", "*.created", "user", "user.*.x", ""} {
		_, err := destination.ExpandEventTypes([]string{unknown})
		require.True(t, fault.Is(err, fault.Invalid), unknown)
	}
}

func TestDestinationTakesSomeRecordTypesOnly(t *testing.T) {
	t.Parallel()
	all, users := destination.Capabilities{}, destination.Capabilities{RecordTypes: []record.Type{record.User}}
	require.NoError(t, all.CheckEventTypes("webhook", destination.EventTypes()))
	require.NoError(t, users.CheckEventTypes("hubspot", []string{"user.*", "user.created"}))
	for _, refused := range []string{"organization.*", "session.created"} {
		err := users.CheckEventTypes("hubspot", []string{"user.*", refused})
		require.True(t, fault.Is(err, fault.Invalid))
		require.ErrorContains(t, err, refused+`": a destination of type hubspot takes user.* only`)
	}
}
