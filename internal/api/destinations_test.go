package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/record"
)

func TestDestinationIsMadeShownChangedAndRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	at := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	b.deliveries.health = admin.Health{Waiting: 2, Retrying: 1, OldestWaitingAt: &at}
	made := b.call(t, http.MethodPost, "/projects/shop/destinations", `{"name": "app", "type": "webhook", "event_types": ["user.deleted"],
		"fields": ["email"], "condition": ".user.email != null", "options": {"url": "https://example.com/hook"}, "since": "beginning"}`)
	require.Equal(t, http.StatusCreated, made.status, made.text)
	require.Equal(t, admin.From{Beginning: true}, b.deliveries.from)
	id, _ := made.body["id"].(string)
	require.Equal(t, api.Prefix+"/projects/"+shop.ID.String()+"/destinations/"+id, made.header.Get("Location"))
	secret, ok := made.body["secret"].(map[string]any)
	require.True(t, ok, made.text)
	require.Equal(t, "signing", secret["name"])
	value, _ := secret["value"].(string)
	require.NotEmpty(t, value)

	shown := b.call(t, http.MethodGet, "/projects/shop/destinations/app", "")
	require.Equal(t, shown.body, b.call(t, http.MethodGet, "/projects/shop/destinations/"+id, "").body)
	require.Equal(t, []any{shown.body}, b.call(t, http.MethodGet, "/projects/shop/destinations", "").data(t))
	require.NotContains(t, shown.text, value)
	require.NotContains(t, b.log.String(), value)
	require.Equal(t, map[string]any{"signing": map[string]any{"set": true}}, shown.body["secrets"])
	require.InDelta(t, 2, shown.body["waiting"], 0)
	require.Equal(t, "2026-05-04T10:20:30Z", shown.body["oldest_waiting_at"])

	changed := b.call(t, http.MethodPatch, "/projects/shop/destinations/app", `{"name": "app2", "condition": null, "options": {"x": 1}}`)
	require.Equal(t, http.StatusOK, changed.status, changed.text)
	require.Nil(t, changed.body["condition"])
	require.Equal(t, []any{"email"}, changed.body["fields"])
	require.Equal(t, map[string]any{"url": "https://example.com/hook", "x": 1.0}, changed.body["options"])
	require.Zero(t, b.deliveries.resumed)

	rotated := b.call(t, http.MethodPost, "/projects/shop/destinations/app2/rotate", "")
	require.Equal(t, http.StatusOK, rotated.status, rotated.text)
	require.NotContains(t, rotated.text, value)
	require.Contains(t, rotated.body, "secret")
	require.Contains(t, rotated.text, "old_until")

	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, "/projects/shop/destinations/app2", "").status)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		b.call(t, method, "/projects/shop/destinations/app2", "").refused(t, http.StatusNotFound, "no such destination: GET …/destinations lists")
	}
}

func TestBeginningOfADestinationIsNowOrAsGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	for name, tc := range map[string]struct {
		from string
		want admin.From
	}{
		"absent":    {"", admin.From{}},
		"now":       {`, "since": "now"`, admin.From{}},
		"beginning": {`, "since": "beginning"`, admin.From{Beginning: true}},
		"time":      {`, "since": "2020-05-04T10:20:30Z"`, admin.From{Time: time.Date(2020, 5, 4, 10, 20, 30, 0, time.UTC)}},
	} {
		made := b.call(t, http.MethodPost, "/projects/shop/destinations", `{"name": "`+name+`", "type": "webhook"`+tc.from+`}`)
		require.Equal(t, http.StatusCreated, made.status, made.text)
		require.Equal(t, tc.want, b.deliveries.from, name)
	}
	b.deliveries.err = fault.New(fault.Invalid, "no")
	b.call(t, http.MethodPost, "/projects/shop/destinations", `{"name": "x", "type": "webhook"}`).refused(t, http.StatusUnprocessableEntity, "no")
	b.call(t, http.MethodGet, "/projects/shop/destinations/x", "").refused(t, http.StatusNotFound, "no such destination")
}

func TestAChangeThatMayBeTheRepairResumesWhatAuthsyncStopped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	id, _ := b.destination(t, "/projects/shop", "app").body["id"].(string)
	for name, tc := range map[string]struct {
		by, state, patch string
		want             string
	}{
		"OptionsAfterAuthsync": {project.ByAuthsync, project.Paused, `{"options": {"x": 1}}`, "active"},
		"SecretsAfterAuthsync": {project.ByAuthsync, project.Disabled, `{"secrets": {"signing": "another"}}`, "active"},
		"NoRepair":             {project.ByAuthsync, project.Paused, `{"fields": ["email"]}`, "paused"},
		"AfterAPerson":         {project.ByPerson, project.Paused, `{"options": {"x": 2}}`, "paused"},
	} {
		_, err := b.pool.Exec(t.Context(), `UPDATE authsync.destinations SET state = $1, state_by = $2`, tc.state, tc.by)
		require.NoError(t, err)
		answer := b.call(t, http.MethodPatch, "/projects/shop/destinations/"+id, tc.patch)
		require.Equal(t, http.StatusOK, answer.status, answer.text)
		require.Equal(t, tc.want, answer.body["state"], name)
	}
}

func TestDestinationIsPausedAndResumed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	path := "/projects/shop/destinations/app"
	paused := b.call(t, http.MethodPost, path+"/pause", `{"reason": "the CRM is being moved"}`)
	require.Equal(t, []any{"paused", "user", "the CRM is being moved"},
		[]any{paused.body["state"], paused.body["state_by"], paused.body["state_reason"]})
	require.Equal(t, "paused", b.call(t, http.MethodPost, path+"/pause", "").body["state"], "twice is as once")
	require.Equal(t, "active", b.call(t, http.MethodPost, path+"/resume", "").body["state"])
	b.call(t, http.MethodPost, path+"/pause", `{"reason": "`+strings.Repeat("x", 501)+`"}`).refused(t, http.StatusUnprocessableEntity, "at most 500")
	b.call(t, http.MethodPost, "/projects/shop/destinations/none/resume", "").refused(t, http.StatusNotFound, "no such destination")
}

func TestWhatWouldBeSentIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	path := "/projects/shop/destinations/app/preview"
	shown := b.call(t, http.MethodPost, path, `{"user_id": "auth0|1"}`)
	require.Equal(t, http.StatusOK, shown.status, shown.text)
	require.Equal(t, previewOf{ref: record.Ref{Type: record.User, ID: "auth0|1"}}, b.deliveries.previewed)
	require.Equal(t, true, shown.body["wanted"])
	require.Len(t, shown.body["requests"], 1)
	b.call(t, http.MethodPost, path, `{"change_id": 7}`)
	require.Equal(t, previewOf{changeID: 7}, b.deliveries.previewed)
	require.Equal(t, []any{}, b.call(t, http.MethodPost, path, `{"user_id": "unwanted"}`).body["requests"])

	b.call(t, http.MethodPost, path, `{"record_type": "organization", "record_id": "org_1"}`)
	require.Equal(t, previewOf{ref: record.Ref{Type: record.Organization, ID: "org_1"}}, b.deliveries.previewed)
	b.call(t, http.MethodPost, path, `{"record_type": "organization"}`).refused(t, http.StatusUnprocessableEntity, "given together")
	b.call(t, http.MethodPost, path, `{}`).refused(t, http.StatusUnprocessableEntity, "give either user_id")
	b.call(t, http.MethodPost, path, `{"user_id": "a", "change_id": 7}`).refused(t, http.StatusUnprocessableEntity, "give either user_id")
	b.call(t, http.MethodPost, path, `{"change_id": "7"}`).refused(t, http.StatusUnprocessableEntity, "change_id must be a whole number")
	b.call(t, http.MethodPost, path, `{"user_id": "gone"}`).refused(t, http.StatusNotFound, "no such record")
	b.call(t, http.MethodPost, path, `{"user_id": "odd"}`).refused(t, http.StatusUnprocessableEntity, "fails on this change")
	b.call(t, http.MethodPost, path, `{"user_id": "busy"}`).refused(t, http.StatusServiceUnavailable, "no room now to run the destination's expressions")
	b.deliveries.err = context.DeadlineExceeded
	b.call(t, http.MethodPost, path, `{"user_id": "a"}`).refused(t, http.StatusServiceUnavailable, "the database of project shop")
}

func TestReplayTakesWhatIsChosen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	path := "/projects/shop/destinations/app/replay"
	answer := b.call(t, http.MethodPost, path, `{"since": "2020-05-04T10:20:30Z", "until": "2020-05-05T00:00:00Z", "user_id": "u", "event_type": "user.deleted", "state": "failed", "dry_run": true}`)
	require.Equal(t, map[string]any{"matched": 3.0, "requeued": 2.0, "dry_run": true}, answer.body)
	require.Equal(t, admin.Replay{
		From: admin.From{Time: time.Date(2020, 5, 4, 10, 20, 30, 0, time.UTC)}, To: time.Date(2020, 5, 5, 0, 0, 0, 0, time.UTC),
		UserID: "u", EventType: "user.deleted", State: "failed", DryRun: true,
	}, b.deliveries.replayed)
	require.Equal(t, false, b.call(t, http.MethodPost, path, `{"since": "beginning"}`).body["dry_run"])
	require.Equal(t, admin.Replay{From: admin.From{Beginning: true}}, b.deliveries.replayed)
}

func TestDeliveriesAreListedRetriedAndCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	b.deliveries.stored = []admin.Delivery{
		{ID: 1, State: "failed", RecordType: "user", RecordID: "u", UserID: new("u"), EventType: "user.updated"},
		{ID: 2, State: "delivered"},
		{ID: 4, State: "blocked"},
	}
	answer := b.call(t, http.MethodGet, "/projects/shop/deliveries?destination=app&state=failed&user_id=u&record_type=user&record_id=u&event_type=user.updated&limit=5&cursor=c", "")
	require.Len(t, answer.data(t), 3)
	require.Equal(t, "next", answer.next(t))
	first, _ := answer.data(t)[0].(map[string]any)
	app, err := b.store.FindDestination(t.Context(), shop.ID, "app")
	require.NoError(t, err)
	require.Equal(t, admin.ListFilter{DestinationID: app.ID, State: "failed", UserID: "u", RecordType: "user", RecordID: "u", EventType: "user.updated", Limit: 5, Cursor: "c"}, b.deliveries.filter)

	path := "/projects/shop/deliveries/"
	first["attempt_log"] = []any{}
	require.Equal(t, first, b.call(t, http.MethodGet, path+"1", "").body)
	require.Equal(t, "ready", b.call(t, http.MethodPost, path+"1/retry", "").body["state"])
	require.Equal(t, "cancelled", b.call(t, http.MethodPost, path+"1/cancel", "").body["state"])
	b.call(t, http.MethodPost, path+"2/retry", "").refused(t, http.StatusConflict, "replay the destination")
	b.call(t, http.MethodPost, path+"4/retry", "").refused(t, http.StatusConflict, "it waits for an earlier one")
	b.call(t, http.MethodPost, path+"2/cancel", "").refused(t, http.StatusConflict, "nothing to cancel")
	for _, call := range [][2]string{{http.MethodGet, "3"}, {http.MethodPost, "3/retry"}, {http.MethodPost, "3/cancel"}} {
		b.call(t, call[0], path+call[1], "").refused(t, http.StatusNotFound, "no such delivery: GET …/deliveries lists")
	}
	b.call(t, http.MethodGet, path+"msg_1", "").refused(t, http.StatusNotFound, "such as 17")
}

func TestHoldbackIsSetShownAndRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	const path = "/projects/shop/destinations/app"
	require.Nil(t, b.call(t, http.MethodGet, path, "").body["holdback"])
	require.Equal(t, "36h", b.call(t, http.MethodPatch, path, `{"holdback": "1h60m34h"}`).body["holdback"])
	until := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	b.deliveries.health = admin.Health{Held: 3, HeldUntil: &until}
	shown := b.call(t, http.MethodPatch, path, `{"fields": ["email"]}`).body
	require.Equal(t, "36h", shown["holdback"], "what is not given stays")
	require.Equal(t, []any{3.0, "2026-05-04T10:20:30Z"}, []any{shown["held"], shown["held_until"]})
	require.Nil(t, b.call(t, http.MethodPatch, path, `{"holdback": null}`).body["holdback"])
	b.call(t, http.MethodPatch, path, `{"holdback": "721h"}`).refused(t, http.StatusUnprocessableEntity, "from 1m to 720h")
	b.call(t, http.MethodPatch, path, `{"holdback": 24}`).refused(t, http.StatusUnprocessableEntity, "holdback must be a string")
}

func TestHeldDeliveriesAreConfirmed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	until := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	b.deliveries.stored = []admin.Delivery{{ID: 1, State: "held", HeldUntil: &until}, {ID: 2, State: "delivered"}}
	const path = "/projects/shop/deliveries/"
	require.Equal(t, "2026-05-04T10:20:30Z", b.call(t, http.MethodGet, path+"1", "").body["held_until"])
	require.Equal(t, "ready", b.call(t, http.MethodPost, path+"1/confirm", "").body["state"])
	b.call(t, http.MethodPost, path+"2/confirm", "").refused(t, http.StatusConflict, "it is not held back")
	b.call(t, http.MethodPost, path+"3/confirm", "").refused(t, http.StatusNotFound, "no such delivery")

	app, err := b.store.FindDestination(t.Context(), shop.ID, "app")
	require.NoError(t, err)
	answer := b.call(t, http.MethodPost, path+"confirm", `{"destination": "app", "user_id": "u", "record_type": "user", "record_id": "u", "event_type": "user.deleted", "dry_run": true}`)
	require.Equal(t, map[string]any{"matched": 2.0, "confirmed": 3.0, "dry_run": true}, answer.body)
	require.Equal(t, admin.Confirmation{
		DestinationID: app.ID, UserID: "u", RecordType: "user", RecordID: "u", EventType: "user.deleted", DryRun: true,
	}, b.deliveries.confirmed)
	b.call(t, http.MethodPost, path+"confirm", `{"dry_run": true}`).refused(t, http.StatusUnprocessableEntity, "say which deliveries to confirm")
	b.call(t, http.MethodPost, path+"confirm", `{"destination": "none"}`).refused(t, http.StatusUnprocessableEntity, `no destination "none"`)
	b.call(t, http.MethodPost, path+"confirm", `{"event_type": "user.renamed"}`).refused(t, http.StatusUnprocessableEntity, "take one of user.created")
}

func TestWrongInputForDestinationsSaysWhatToChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	const post, patch = http.MethodPost, http.MethodPatch
	const destinations = "/projects/shop/destinations"
	for name, bad := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"UnknownType":     {post, destinations, `{"name": "x", "type": "fax"}`, http.StatusUnprocessableEntity, "use one of webhook"},
		"NameTaken":       {post, destinations, `{"name": "app", "type": "webhook"}`, http.StatusConflict, "choose another name"},
		"BadName":         {post, destinations, `{"name": "A b", "type": "webhook"}`, http.StatusUnprocessableEntity, "must be 1 to 63"},
		"NoName":          {post, destinations, `{"type": "webhook"}`, http.StatusUnprocessableEntity, "must be 1 to 63"},
		"BadFrom":         {post, destinations, `{"name": "x", "type": "webhook", "since": "yesterday"}`, http.StatusUnprocessableEntity, "give now, beginning, or a time"},
		"FromToCome":      {post, destinations, `{"name": "x", "type": "webhook", "since": "2999-05-04T10:20:30Z"}`, http.StatusUnprocessableEntity, "since is 2999-05-04T10:20:30Z, which is yet to come"},
		"ReplayToCome":    {post, destinations + "/app/replay", `{"since": "2999-05-04T10:20:30Z"}`, http.StatusUnprocessableEntity, "give a time that has passed"},
		"PrivateAddress":  {post, destinations, `{"name": "x", "type": "webhook", "options": {"url": "https://10.0.0.1"}}`, http.StatusUnprocessableEntity, "private address"},
		"ConditionNumber": {post, destinations, `{"name": "x", "type": "webhook", "condition": 1}`, http.StatusUnprocessableEntity, "condition must be a string, or null"},
		"EventTypesText":  {post, destinations, `{"name": "x", "type": "webhook", "event_types": "user.created"}`, http.StatusUnprocessableEntity, "event_types must be a list of strings"},
		"SecretNumber":    {post, destinations, `{"name": "x", "type": "webhook", "secrets": {"signing": 5}}`, http.StatusUnprocessableEntity, "secrets must be an object of strings"},
		"UnknownKey":      {patch, destinations + "/app", `{"type": "http"}`, http.StatusUnprocessableEntity, "it takes name, event_types"},
		"ReplayOfWhat":    {post, destinations + "/app/replay", `{"dry_run": true}`, http.StatusUnprocessableEntity, "say what to deliver again"},
		"ReplayFromNow":   {post, destinations + "/app/replay", `{"since": "now"}`, http.StatusUnprocessableEntity, "give beginning, or a time"},
		"ReplayTo":        {post, destinations + "/app/replay", `{"until": "now"}`, http.StatusUnprocessableEntity, "until must be a time"},
		"ReplayState":     {post, destinations + "/app/replay", `{"state": "blocked"}`, http.StatusUnprocessableEntity, "take one of delivered, coalesced, failed, cancelled"},
		"ReplayEventType": {post, destinations + "/app/replay", `{"event_type": "user.renamed"}`, http.StatusUnprocessableEntity, "take one of user.created"},
		"ListState":       {http.MethodGet, "/projects/shop/deliveries?state=lost", "", http.StatusUnprocessableEntity, "take one of held, blocked"},
		"ListEventType":   {http.MethodGet, "/projects/shop/deliveries?event_type=lost", "", http.StatusUnprocessableEntity, "take one of user.created"},
		"ListDestination": {http.MethodGet, "/projects/shop/deliveries?destination=lost", "", http.StatusUnprocessableEntity, "the list of its destinations has those there are"},
		"ListCursor":      {http.MethodGet, "/projects/shop/deliveries?cursor=bad", "", http.StatusUnprocessableEntity, "take next_cursor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b.call(t, bad.method, bad.path, bad.body).refused(t, bad.status, bad.want)
		})
	}
}

func TestATestEventIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	const path = "/projects/shop/destinations/app/test"
	sent := b.call(t, http.MethodPost, path, "")
	require.Equal(t, http.StatusOK, sent.status, sent.text)
	require.Equal(t, "msg_1_test_user.updated", sent.body["message_id"])
	require.Equal(t, false, sent.body["delivered"])
	require.Equal(t, "msg_1_test_user.deleted", b.call(t, http.MethodPost, path, `{"event_type": "user.deleted"}`).body["message_id"])
	b.call(t, http.MethodPost, path, `{"event_type": "user.renamed"}`).refused(t, http.StatusUnprocessableEntity, "take one of user.created")
	b.call(t, http.MethodPost, path, `{"event_type": "user.restored"}`).refused(t, http.StatusUnprocessableEntity, "use preview")
}
