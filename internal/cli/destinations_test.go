package cli

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// recorded is a call that a command made.
type recorded struct {
	call string // method, path behind the prefix, and query
	body map[string]any
}

// answering serves the same answer to each call and gives how to run a command
// against it and the last call made.
func answering(t *testing.T, status int, answer string) (env map[string]string, last func() recorded) {
	t.Helper()
	calls := make(chan recorded, 20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		one := recorded{call: r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), client.Prefix)}
		if r.URL.RawQuery != "" {
			one.call += "?" + r.URL.RawQuery
		}
		_ = json.Unmarshal(text, &one.body)
		calls <- one
		if status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	env = map[string]string{
		"AUTHSYNC_DATA_DIR": t.TempDir(), "AUTHSYNC_URL": server.URL, "AUTHSYNC_API_KEY": "capy_test_x", "TOKEN": "token-of-the-environment",
	}
	return env, func() (one recorded) {
		for {
			select {
			case one = <-calls:
			default:
				return one
			}
		}
	}
}

func TestDestinationsAddSendsWhatIsGiven(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	options := file("options.json", `{"url": "https://of-the-file.example.com", "limit": {"requests": 5, "per": "1s"}, "big": 9007199254740993}`)
	secret := file("secret", "secret-of-the-file\n")
	for name, tc := range map[string]struct {
		args  []string
		stdin string
		want  string
	}{
		"Webhook": {
			[]string{"--type", "webhook", "--url", "https://app.example.com/hook"},
			"",
			`{"name": "app", "type": "webhook", "options": {"url": "https://app.example.com/hook"}}`,
		},
		"Selection": {
			[]string{"--type", "webhook", "--event-types", "user.created,user.deleted", "--fields", "email,raw.app_metadata.plan", "--condition", `.user.email != null`, "--since", "beginning"},
			"",
			`{"name": "app", "type": "webhook", "event_types": ["user.created", "user.deleted"], "fields": ["email", "raw.app_metadata.plan"], "condition": ".user.email != null", "since": "beginning"}`,
		},
		"OptionsOverTheFile": {
			[]string{"--type", "http", "--options-file", options, "--option", "limit.requests=7", "--option", "mode=fast", "--url", "https://x.example.com"},
			"",
			`{"name": "app", "type": "http", "options": {"url": "https://x.example.com", "limit": {"requests": 7, "per": "1s"}, "big": 9007199254740993, "mode": "fast"}}`,
		},
		"SecretsFromEverywhere": {
			[]string{"--type", "http", "--secret-file", "a=" + secret, "--secret-file", "b=-", "--secret-env", "c=TOKEN"},
			"secret-of-stdin\n",
			`{"name": "app", "type": "http", "secrets": {"a": "secret-of-the-file", "b": "secret-of-stdin", "c": "token-of-the-environment"}}`,
		},
		"FromATime": {
			[]string{"--type", "webhook", "--since", "2026-05-04T12:00:00+02:00"},
			"",
			`{"name": "app", "type": "webhook", "since": "2026-05-04T10:00:00Z"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, last := answering(t, http.StatusCreated, `{"name": "app", "secret": {"name": "signing_secret", "value": "whsec_once"}}`)
			r := run(t.Context(), env, tc.stdin, append([]string{"destinations", "create", "shop", "app"}, tc.args...)...)
			require.Zero(t, r.status, r.err)
			sent := last()
			require.Equal(t, "POST /projects/shop/destinations", sent.call)
			text, err := json.Marshal(sent.body)
			require.NoError(t, err)
			require.JSONEq(t, tc.want, string(text))
			require.Contains(t, r.out, "signing_secret, shown only once:\n  whsec_once\n")
			require.NotContains(t, r.out+r.err, "secret-of")
		})
	}
}

func TestDestinationCommandsMakeTheirCalls(t *testing.T) {
	t.Parallel()
	const d = `{"id": "i", "name": "crm", "type": "hubspot", "state": "paused", "state_by": "user", "options": {}, "secret": {"name": "s", "value": "whsec_new"}}`
	for name, tc := range map[string]struct {
		args   []string
		answer string
		call   string
		body   string
		says   string
	}{
		"Set":         {[]string{"destinations", "update", "shop", "crm", "--fields", "", "--condition", "", "--option", "x=null", "--remove-secret", "old", "--name", "crm2"}, d, "PATCH /projects/shop/destinations/crm", `{"name": "crm2", "fields": [], "condition": "", "options": {"x": null}, "secrets": {"old": null}}`, "paused"},
		"List":        {[]string{"destinations", "list", "shop"}, `{"data": [` + d + `]}`, "GET /projects/shop/destinations", ``, "hubspot"},
		"ListNone":    {[]string{"destinations", "list", "shop"}, `{"data": []}`, "GET /projects/shop/destinations", ``, "authsync destinations create shop NAME"},
		"Show":        {[]string{"destinations", "get", "shop", "a b"}, d, "GET /projects/shop/destinations/a%20b", ``, "paused since"},
		"Pause":       {[]string{"destinations", "pause", "shop", "crm", "--reason", "moving"}, d, "POST /projects/shop/destinations/crm/pause", `{"reason": "moving"}`, "authsync destinations resume shop crm"},
		"Resume":      {[]string{"destinations", "resume", "shop", "crm"}, d, "POST /projects/shop/destinations/crm/resume", ``, "Active."},
		"Rotate":      {[]string{"destinations", "rotate", "shop", "crm"}, d, "POST /projects/shop/destinations/crm/rotate", `{}`, "shown only once:\n  whsec_new"},
		"RotateGiven": {[]string{"destinations", "rotate", "shop", "crm", "--secret-env", "TOKEN"}, d, "POST /projects/shop/destinations/crm/rotate", `{"value": "token-of-the-environment"}`, "valid for 24 hours"},
		"Remove":      {[]string{"destinations", "delete", "shop", "crm", "--yes"}, ``, "DELETE /projects/shop/destinations/crm", ``, "Removed destination crm of project shop."},
		"TestEvent":   {[]string{"destinations", "test", "shop", "crm", "--event-type", "user.deleted"}, `{"delivered": true, "status": 204, "duration_ms": 7}`, "POST /projects/shop/destinations/crm/test", `{"event_type": "user.deleted"}`, "204 No Content in 7 ms"},
		"Preview":     {[]string{"destinations", "preview", "shop", "crm", "--change", "7"}, `{"wanted": false, "why": "of email nothing changed"}`, "POST /projects/shop/destinations/crm/preview", `{"change_id": 7}`, "Not wanted: of email nothing changed."},
		"Replay":      {[]string{"destinations", "replay", "shop", "crm", "--state", "failed", "--until", "2026-05-04T12:00:00Z"}, `{"matched": 5, "requeued": 4}`, "POST /projects/shop/destinations/crm/replay", `{"state": "failed", "until": "2026-05-04T12:00:00Z"}`, "Queued again: 4 of 5."},
		"ReplayAll":   {[]string{"destinations", "replay", "shop", "crm", "--all", "--dry-run"}, `{"matched": 5, "dry_run": true}`, "POST /projects/shop/destinations/crm/replay", `{"since": "beginning", "dry_run": true}`, "Would be delivered again: 5. Nothing was done."},
		"Deliveries":  {[]string{"deliveries", "list", "shop", "--destination", "crm", "--state", "failed", "--user", "u|1", "--limit", "9"}, `{"data": []}`, "GET /projects/shop/deliveries?destination=crm&limit=9&state=failed&user_id=u%7C1", ``, "No deliveries."},
		"Delivery":    {[]string{"deliveries", "get", "shop", "17"}, `{"id": 17, "last_response": "no such property"}`, "GET /projects/shop/deliveries/17", ``, "no such property"},
		"Retry":       {[]string{"deliveries", "retry", "shop", "17", "18"}, `{"id": 18, "state": "ready"}`, "POST /projects/shop/deliveries/18/retry", ``, "ready"},
		"RetryFailed": {[]string{"deliveries", "retry", "shop", "--failed", "--destination", "crm"}, `{"matched": 2, "requeued": 2}`, "POST /projects/shop/destinations/crm/replay", `{"state": "failed"}`, "Queued again: 2 of 2."},
		"Confirm":     {[]string{"deliveries", "confirm", "shop", "17"}, `{"id": 17, "state": "ready"}`, "POST /projects/shop/deliveries/17/confirm", ``, "ready"},
		"ConfirmAll":  {[]string{"deliveries", "confirm", "shop", "--destination", "crm", "--all"}, `{"matched": 2, "confirmed": 3}`, "POST /projects/shop/deliveries/confirm", `{"destination": "crm"}`, "Sent now: 3."},
		"ConfirmUser": {[]string{"deliveries", "confirm", "shop", "--user", "u", "--dry-run"}, `{"matched": 2, "confirmed": 0, "dry_run": true}`, "POST /projects/shop/deliveries/confirm", `{"user_id": "u", "dry_run": true}`, "Would be sent now: 2."},
		"Holdback":    {[]string{"destinations", "update", "shop", "crm", "--holdback", "24h"}, d, "PATCH /projects/shop/destinations/crm", `{"holdback": "24h"}`, "paused"},
		"Cancel":      {[]string{"deliveries", "cancel", "shop", "17", "--yes"}, `{"id": 17, "state": "cancelled"}`, "POST /projects/shop/deliveries/17/cancel", ``, "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, last := answering(t, http.StatusOK, tc.answer)
			r := run(t.Context(), env, "", tc.args...)
			require.Zero(t, r.status, r.err)
			sent := last()
			require.Equal(t, tc.call, sent.call)
			if tc.body == "" {
				require.Nil(t, sent.body)
			} else {
				text, err := json.Marshal(sent.body)
				require.NoError(t, err)
				require.JSONEq(t, tc.body, string(text))
			}
			require.Contains(t, r.out, tc.says)
			require.NotContains(t, r.out, "token-of-the-environment")

			asJSON := run(t.Context(), env, "", append(tc.args, "--json")...)
			require.Zero(t, asJSON.status, asJSON.err)
			require.True(t, json.Valid([]byte(asJSON.out)), asJSON.out)
		})
	}
}

// One member of an option is changed without loss of the others.
func TestSetKeepsTheOtherMembersOfAnOption(t *testing.T) {
	t.Parallel()
	env, last := answering(t, http.StatusOK, `{"name": "crm", "options": {"properties": {"plan": ".user.raw.plan", "city": ".user.raw.city"}, "tier": "starter"}}`)
	r := run(t.Context(), env, "", "destinations", "update", "shop", "crm",
		"--option", "properties.city=null", "--option", "properties.age=.user.raw.age", "--option", "limits.day=7", "--option", "tier=professional")
	require.Zero(t, r.status, r.err)
	sent := last()
	require.Equal(t, "PATCH /projects/shop/destinations/crm", sent.call)
	text, err := json.Marshal(sent.body)
	require.NoError(t, err)
	require.JSONEq(t, `{"options": {"properties": {"plan": ".user.raw.plan", "city": null, "age": ".user.raw.age"}, "limits": {"day": 7}, "tier": "professional"}}`, string(text))
}

func TestWrongDestinationCommandsCostNoCall(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"NoType":            {[]string{"destinations", "create", "shop", "app"}, "give webhook, hubspot or http"},
		"FromIsNoTime":      {[]string{"destinations", "create", "shop", "app", "--type", "webhook", "--since", "monday"}, "give now, beginning, a time"},
		"SecretWithoutName": {[]string{"destinations", "create", "shop", "app", "--type", "http", "--secret-file", "hunter2"}, "--secret-file takes name=FILE"},
		"SecretOnTheLine":   {[]string{"destinations", "create", "shop", "app", "--type", "http", "--secret", "a=hunter2"}, "--help"},
		"TwiceStdin":        {[]string{"destinations", "create", "shop", "app", "--type", "http", "--options-file", "-", "--secret-file", "a=-"}, "one thing only"},
		"SecretTwice":       {[]string{"destinations", "create", "shop", "app", "--type", "http", "--secret-env", "a=TOKEN", "--secret-file", "a=hunter2"}, "the secret a is given twice"},
		"OptionsNoObject":   {[]string{"destinations", "create", "shop", "app", "--type", "http", "--options-file", "-"}, "must hold a JSON object"},
		"OptionWithoutName": {[]string{"destinations", "create", "shop", "app", "--type", "http", "--option", "url"}, "give key=value"},
		"SetNothing":        {[]string{"destinations", "update", "shop", "app"}, "say what to change"},
		"TestOfNothing":     {[]string{"destinations", "preview", "shop", "app"}, "give either --user"},
		"TestOfBoth":        {[]string{"destinations", "preview", "shop", "app", "--user", "u", "--change", "1"}, "give either --user"},
		"ReplayOfNothing":   {[]string{"destinations", "replay", "shop", "app", "--dry-run"}, "--state failed, or --all"},
		"ReplayOfBoth":      {[]string{"destinations", "replay", "shop", "app", "--all", "--state", "failed"}, "not both"},
		"ReplayFromMonday":  {[]string{"destinations", "replay", "shop", "app", "--since", "monday"}, "give now, beginning, a time"},
		"ReplayToMonday":    {[]string{"destinations", "replay", "shop", "app", "--until", "monday"}, "no time"},
		"RemoveWithoutYes":  {[]string{"destinations", "delete", "shop", "app"}, "--yes"},
		"ConfirmOfNothing":  {[]string{"deliveries", "confirm", "shop"}, "say which deliveries"},
		"ConfirmOfAll":      {[]string{"deliveries", "confirm", "shop", "--all"}, "--all goes with --destination"},
		"ConfirmOfBoth":     {[]string{"deliveries", "confirm", "shop", "1", "--user", "u"}, "not both"},
		"RetryOfNothing":    {[]string{"deliveries", "retry", "shop"}, "say which deliveries"},
		"RetryOfAWord":      {[]string{"deliveries", "retry", "shop", "msg_1"}, "such as 17"},
		"RetryOfBoth":       {[]string{"deliveries", "retry", "shop", "1", "--failed"}, "not both"},
		"FailedOfWhat":      {[]string{"deliveries", "retry", "shop", "--failed"}, "--failed --destination NAME"},
		"DestinationAlone":  {[]string{"deliveries", "retry", "shop", "--destination", "crm"}, "goes with --failed"},
		"Limit":             {[]string{"deliveries", "list", "shop", "--limit", "0"}, "at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, last := answering(t, http.StatusOK, `{}`)
			r := run(t.Context(), env, "[1]", tc.args...)
			require.Equal(t, 2, r.status, r.err)
			require.Contains(t, r.err, tc.says)
			require.NotContains(t, r.err, "hunter2")
			require.Empty(t, last())
		})
	}
}

func TestWhatTheServerRefusesIsPassedOn(t *testing.T) {
	t.Parallel()
	env, _ := answering(t, http.StatusConflict, `{"status": 409, "detail": "it was delivered: to send it again, replay the destination"}`)
	for _, args := range [][]string{
		{"destinations", "create", "shop", "app", "--type", "webhook"},
		{"destinations", "update", "shop", "app", "--fields", "email"},
		{"destinations", "list", "shop"},
		{"destinations", "get", "shop", "app"},
		{"destinations", "preview", "shop", "app", "--user", "u"},
		{"destinations", "test", "shop", "app"},
		{"destinations", "pause", "shop", "app"},
		{"destinations", "resume", "shop", "app"},
		{"destinations", "rotate", "shop", "app"},
		{"destinations", "replay", "shop", "app", "--all"},
		{"destinations", "delete", "shop", "app", "--yes"},
		{"deliveries", "list", "shop"},
		{"deliveries", "get", "shop", "1"},
		{"deliveries", "retry", "shop", "1"},
		{"deliveries", "cancel", "shop", "1", "--yes"},
	} {
		r := run(t.Context(), env, "", args...)
		require.Equal(t, 1, r.status, args)
		require.Contains(t, r.err, "replay the destination (409)", args)
		require.Equal(t, 1, strings.Count(r.err, "\n"))
	}
}

func TestDestinationTablesAreReadable(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 12, 0, 0, 5e6, time.UTC)
	status, into, job := 400, int64(18), int64(5)
	var out strings.Builder
	s := &session{Process: Process{Out: &out, Err: &out}}
	fine := client.Destination{
		Name: "app", ID: "0b0c", Type: "webhook", EventTypes: []string{"user.created", "user.deleted"}, Options: []byte(`{"url":"https://x"}`), State: "active", StateBy: "user",
		Secrets: map[string]client.SecretState{"signing_secret": {Set: true, OldUntil: &at}}, LastSuccessAt: &at, StateSince: at, CreatedAt: at, UpdatedAt: at,
	}
	stopped := fine
	stopped.Name, stopped.Type, stopped.State, stopped.StateBy, stopped.Failed = "crm", "hubspot", "paused", "system", 2
	stopped.StateReason, stopped.Waiting, stopped.OldestWaitingAt = new("HubSpot knows no property plan: make it"), 12, &at
	broken := fine
	broken.Name, broken.FailingSince, broken.BreakerOpenUntil, broken.Condition, broken.Fields = "billing", &at, &at, new(".user.email"), []string{"email"}
	limited := fine
	limited.Name, limited.WaitReason = "slow", new("HubSpot takes no more than 100 requests in 10 s")
	unusable := fine
	unusable.Name, unusable.Fault, unusable.Secrets = "lost", "sealed with a key that is not configured", nil
	noticed := limited
	noticed.Name, noticed.WaitReason, noticed.StateReason = "told", nil, new("The project's database has lost changes that were delivered.")
	require.NoError(t, s.printDestinations("shop", fine, broken, stopped, limited, unusable, noticed))
	out.WriteString("\n")
	require.NoError(t, s.reportDestination(stopped))
	out.WriteString("\n")
	require.NoError(t, s.reportDestination(broken))
	noticed.WaitReason = limited.WaitReason
	out.WriteString("\n")
	require.NoError(t, s.reportDestination(noticed))
	require.NoError(t, s.printSecret(&client.MadeSecret{Name: "signing_secret", Value: "whsec_x"}))
	out.WriteString("\n")
	require.NoError(t, s.printPreview(client.Preview{Wanted: true, Why: "every change is wanted.", Requests: []client.Request{
		{Method: "POST", URL: "https://x/a", Headers: map[string][]string{"B": {"2"}, "A": {"1"}}, Body: []byte(`{"user":{"id":"\u001b[2J"}}`)},
		{Method: "PATCH", URL: "https://x/b", Body: []byte(`"a text"`), Note: "if the contact is there"},
		{Method: "DELETE", URL: "https://x/c", Body: []byte(`null`)},
	}}))
	out.WriteString("\n")
	failed := client.Delivery{
		ID: 17, Destination: "crm", ChangeID: 4, MessageID: "msg_0b0c_4", RecordType: "user", RecordID: "auth0|1", UserID: new("auth0|1"), EventType: "user.updated", Changed: []string{"email"}, State: "failed",
		Attempts: 3, LastAttemptAt: &at, LastStatus: &status, LastResponse: new("{\"no\":\n1}"), Reason: new("the value of plan is refused"), ChangedAt: at, CreatedAt: at, FinishedAt: &at,
	}
	merged := client.Delivery{ID: 16, Destination: "crm", RecordType: "user", RecordID: "auth0|1", UserID: new("auth0|1"), EventType: "user.updated", State: "coalesced", CoalescedInto: &into, ChangedAt: at}
	retrying := client.Delivery{ID: 15, Destination: "app", RecordType: "organization", RecordID: "org_2", EventType: "organization.deleted", State: "retrying", Attempts: 1, NextAttemptAt: &at, LastStatus: &status, JobID: &job, ChangedAt: at}
	require.NoError(t, s.printOutgoing("No deliveries.", failed, merged, retrying))
	out.WriteString("\n")
	require.NoError(t, s.printOneOutgoing(client.DeliveryDetail{Delivery: failed, AttemptLog: []client.DeliveryAttempt{
		{Number: 12, AttemptedAt: &at, Outcome: "failed", Status: &status, DurationMS: new(int64(1204)), Reason: failed.Reason, Response: failed.LastResponse},
		{Number: 11, AttemptedAt: &at, Outcome: "retried", Reason: new("no answer within 20s")},
	}}))
	out.WriteString("\n")
	require.NoError(t, s.printAttempts([]client.DeliveryAttempt{{Number: 1, Outcome: "unknown"}}))
	require.NoError(t, s.printSent([]client.DeliveryAttempt{
		{Number: 4, Outcome: "unknown"},
		{Number: 3, Outcome: "failed", Requests: []client.SentRequest{}},
		{Number: 2, Outcome: "retried", RequestsOmitted: 3, Requests: []client.SentRequest{
			{Method: "GET", URL: "https://x/a", Headers: map[string][]string{"Authorization": {"Bearer ***"}}, Sent: true, Status: new(404), Response: "no\x1b[2J"},
			{
				Method: "POST", URL: "https://x/b", Body: `{"a":"\u001b[2J"}`, BodyBytes: 5000, BodyCut: true, Sent: true, Status: &status, Response: `{"no":1}`,
				ResponseCut: true, Note: "part of a batch",
			},
			{Method: "POST", URL: "https://x/c", Body: "a=b&c=d", BodyBytes: 7, Sent: true},
			{Method: "POST", URL: "https://x/d"},
		}},
		{Number: 1, Outcome: "delivered"},
	}))
	maps.DeleteFunc(fine.Secrets, func(string, client.SecretState) bool { return true })
	require.Equal(t, "-", secretsOf(fine))
	pgtest.Golden(t, "testdata/destinations.golden", out.String())
}
