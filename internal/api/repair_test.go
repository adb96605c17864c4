package api_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/tenantdb"
)

// fakeSource is a source that can only be asked for redeliveries.
type fakeSource struct {
	userapi.Source

	streams []userapi.RedeliveryStream
	err     error
	asked   *userapi.RedeliverRequest
}

func (s fakeSource) Redeliver(_ context.Context, _ string, r userapi.RedeliverRequest) (userapi.Redelivery, error) {
	if s.asked != nil {
		*s.asked = r
	}
	return userapi.Redelivery{DryRun: r.DryRun, From: &r.From, Streams: s.streams}, s.err
}

func TestRefreshSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	const path = "/projects/shop/users/auth0%7C1/refresh"
	require.Equal(t, 200, b.call(t, "POST", path, "").status)
	require.Equal(t, 200, b.call(t, "POST", path, `{"provider": "better-auth"}`).status)
	got := b.call(t, "POST", "/projects/shop/records/membership/org_1%2Fauth0%7C1/refresh", "")
	require.Equal(t, 200, got.status)
	require.Equal(t, []any{"membership", "org_1/auth0|1", "auth0|1"}, []any{got.body["record_type"], got.body["record_id"], got.body["user_id"]})
	got = b.call(t, "POST", "/projects/shop/records/organization/org_1/refresh", `{"provider": "clerk"}`)
	require.Equal(t, []any{"organization", "org_1", nil}, []any{got.body["record_type"], got.body["record_id"], got.body["user_id"]})
	require.Equal(t, []string{"user auth0|1 ", "user auth0|1 better_auth", "membership org_1/auth0|1 ", "organization org_1 clerk"}, b.repairs.asked)
	require.Equal(t, 404, b.call(t, "POST", "/projects/shop/records/team/1/refresh", "").status)
	require.Equal(t, 422, b.call(t, "POST", path, `{"provider": "okta"}`).status)
	require.Equal(t, 422, b.call(t, "POST", path, `{"user_id": "x"}`).status)
	require.Equal(t, 422, b.call(t, "POST", path+"?provider=clerk", "").status)
	require.Equal(t, 404, b.call(t, "POST", "/projects/none/users/x/refresh", "").status)
	require.Equal(t, 405, b.call(t, "GET", path, "").status)

	for _, c := range []struct {
		err    error
		status int
		says   string
		retry  string
	}{
		{fault.At("provider", "say which"), 422, "say which", ""},
		{fault.New(fault.UserNotFound, "nobody knows"), 404, "nobody knows", ""},
		{fault.New(fault.RowRefused, "the user was read but cannot be written: constraint"), 422, "cannot be written: constraint", ""},
		{fault.New(fault.Unsupported, "secret_key is missing"), 422, "secret_key is missing", ""},
		{fault.New(fault.CredentialsRefused, "the key is refused"), 422, "the key is refused", ""},
		{&userapi.RateLimitError{After: 70 * time.Second}, 503, "pause of 1m10s", "70"},
		{fault.New(fault.ProviderUnavailable, "no answer"), 503, "no answer", "30"},
		{fault.New(fault.ProviderError, "odd"), 502, "options.base_url", ""},
		{&tenantdb.DelayError{Err: errors.New("away")}, 503, "the project's database cannot be used now", "5"},
	} {
		b.repairs.err = c.err
		got = b.call(t, "POST", path, "")
		require.Equal(t, c.status, got.status, "%v", c.err)
		require.Contains(t, got.body["detail"], c.says)
		require.Equal(t, c.retry, got.header.Get("Retry-After"))
	}
}

func TestRedeliverSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	const path = "/projects/shop/integrations/auth0/redeliver"
	var asked userapi.RedeliverRequest
	b.accounts.source = fakeSource{asked: &asked}
	got := b.call(t, "POST", path, `{"since": "2026-05-04T10:00:00Z", "until": "2026-05-04T12:00:00+01:00", "stream": "est_1", "dry_run": true}`)
	require.Equal(t, 200, got.status, got.text)
	require.Equal(t, time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC), asked.From)
	require.True(t, asked.To.Equal(time.Date(2026, 5, 4, 11, 0, 0, 0, time.UTC)))
	require.Equal(t, []any{"est_1", true}, []any{asked.Stream, asked.DryRun})
	require.Equal(t, 200, b.call(t, "POST", path, "").status)
	require.Equal(t, userapi.RedeliverRequest{}, asked)

	for body, says := range map[string]string{
		`{"since": "yesterday"}`: "since must be a time",
		`{"since": "2026-05-04T10:00:00Z", "until": "2026-05-04T10:00:00Z"}`: "until must be later than since",
		`{"after": "2026-05-04T10:00:00Z"}`:                                  `unknown field "after": it takes since, until, stream, dry_run`,
	} {
		got = b.call(t, "POST", path, body)
		require.Equal(t, 422, got.status)
		require.Contains(t, got.body["detail"], says)
	}
	require.Equal(t, 404, b.call(t, "POST", "/projects/shop/integrations/okta/redeliver", "").status)

	for status, err := range map[int]error{
		404: fault.New(fault.StreamNotFound, "no stream; name one of est_1"),
		409: fault.New(fault.RedeliveryUnderWay, "under way already"),
		422: fault.New(fault.CredentialsRefused, "lacks the permission read:event_streams"),
	} {
		b.accounts.source = fakeSource{err: err}
		got = b.call(t, "POST", path, "")
		require.Equal(t, status, got.status)
		require.Equal(t, err.Error(), got.body["detail"])
	}
	b.accounts.source = nil
	got = b.call(t, "POST", clerkPath+"/redeliver", "")
	require.Equal(t, 422, got.status)
	require.Contains(t, got.body["detail"], "Clerk's dashboard")
	b.accounts.failWith(fault.New(fault.Unsupported, "client_secret is missing"))
	require.Contains(t, b.call(t, "POST", path, "").body["detail"], "client_secret")
	got = b.call(t, "POST", clerkPath+"/redeliver", "")
	require.Contains(t, got.body["detail"], "Clerk's dashboard", "no credential would help")
}
