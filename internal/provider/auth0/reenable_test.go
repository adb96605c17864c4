package auth0_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
)

func TestReenableEnablesTheStream(t *testing.T) {
	t.Parallel()
	server, c := streams(t)
	server.Streams.SetDisabled(streamA, true)
	reenabler, ok := open(t, c).(userapi.Reenabler)
	require.True(t, ok)
	err := reenabler.Reenable(t.Context(), streamA)
	require.True(t, fault.Is(err, fault.CredentialsRefused))
	var lacks userapi.LackError
	require.ErrorAs(t, err, &lacks)
	require.Equal(t, demoprovider.Auth0EnableScope, lacks.LacksPermission())
	require.True(t, server.Streams.IsDisabled(streamA))

	server, c = streams(t)
	server.Scope += " " + demoprovider.Auth0EnableScope
	server.Streams.SetDisabled(streamA, true)
	fail(server, streamA, 5000)
	reenabler, ok = open(t, c).(userapi.Reenabler)
	require.True(t, ok)
	require.ErrorContains(t, reenabler.Reenable(t.Context(), streamA), "too many failed deliveries")
	_, err = redeliver(t, c, userapi.RedeliverRequest{})
	require.NoError(t, err)
	require.NoError(t, reenabler.Reenable(t.Context(), streamA))
	require.False(t, server.Streams.IsDisabled(streamA))
}
