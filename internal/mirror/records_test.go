package mirror_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// recordEvent draws an event about one of few records of all types.
func recordEvent(t *rapid.T, prefix string, i int) mirror.Event {
	e := mirror.Event{Provider: provider.Auth0, InboxID: int64(i)}
	e.ReceivedAt = instant().Draw(t, "received").Add(time.Duration(i+1) * time.Millisecond) // each its own
	e.ID = fmt.Sprintf("%s-evt-%02d", prefix, rapid.IntRange(0, 99).Draw(t, "id")*100+i)
	d := rapid.SampledFrom(record.Types()).Draw(t, "type")
	e.RecordType, e.Type = d.Type, string(d.Type)+".updated"
	e.UserID = prefix + rapid.SampledFrom([]string{"a", "b"}).Draw(t, "user")
	e.OrganizationID = prefix + rapid.SampledFrom([]string{"x/", "y%"}).Draw(t, "organization")
	e.ObjectID = prefix + rapid.SampledFrom([]string{"1", "2"}).Draw(t, "object")
	e.SentAt = instant().Draw(t, "sent_at")
	e.Fields = provider.Fields{}
	if d.Type == record.Membership && rapid.IntRange(0, 2).Draw(t, "one role") == 0 {
		e.At = instant().Draw(t, "at")
		role := rapid.SampledFrom([]string{"admin", "billing"}).Draw(t, "role")
		if rapid.Bool().Draw(t, "added") {
			e.RoleAdded = role
		} else {
			e.RoleRemoved = role
		}
		return e
	}
	e.Fields[record.DeletedAt] = nil
	if rapid.IntRange(0, 3).Draw(t, "deleted") == 0 {
		e.Type = string(d.Type) + ".deleted"
		e.DeletedClock, e.DeletedClockIsReceipt = clock(t, "deleted", e.ReceivedAt)
		text := e.DeletedClock.Truncate(time.Second).Format(time.RFC3339)
		e.Fields[record.DeletedAt] = &text
		if rapid.Bool().Draw(t, "without profile") {
			return e
		}
	}
	if e.At, e.AtIsReceipt = clock(t, "at", e.ReceivedAt); slices.Contains(d.Columns, record.Roles) {
		e.At, e.AtIsReceipt = instant().Draw(t, "at"), false // the whole set has a clock; see TestRolesOneByOne for one without
	}
	e.NoLedger = rapid.Bool().Draw(t, "read by authsync itself")
	for _, c := range d.Columns {
		if c == record.DeletedAt || c == record.Raw || !rapid.Bool().Draw(t, "says "+string(c)) {
			continue
		}
		e.Fields[c] = nil
		switch {
		case !rapid.Bool().Draw(t, "value"):
		case c.SQLType() == "timestamptz":
			text := instant().Draw(t, string(c)).Format(time.RFC3339)
			e.Fields[c] = &text
		case c.SQLType() == "text[]":
			e.Fields[c] = record.Array(rapid.SampledFrom([][]string{{}, {"admin"}, {`a "b" \c`, "billing"}}).Draw(t, string(c)))
		default:
			text := fmt.Sprintf("%s of %s", c, e.ID)
			e.Fields[c] = &text
		}
	}
	if rapid.Bool().Draw(t, "says raw") {
		e.Raw = json.RawMessage(fmt.Sprintf(`{"n": %d}`, i))
	}
	return e
}

// rolesShown is the rule about roles in Go: the newest whole set, and of each role what was reported newer than that.
func rolesShown(events []mirror.Event) map[string][]string {
	type set struct {
		version version
		roles   []string
	}
	whole := make(map[string]set)
	single := make(map[string]map[string]mirror.Event)
	for _, e := range events {
		v, key := version{e.At, e.SentAt, e.ID}, recordKey(e)
		if role := e.RoleAdded + e.RoleRemoved; role != "" {
			if single[key] == nil {
				single[key] = make(map[string]mirror.Event)
			}
			if held, ok := single[key][role]; !ok || v.after(version{held.At, held.SentAt, held.ID}) {
				single[key][role] = e
			}
		} else if value, ok := e.Fields[record.Roles]; ok {
			if held, ok := whole[key]; !ok || v.after(held.version) {
				whole[key] = set{v, elements(value)}
			}
		}
	}
	all := make(map[string][]string)
	for key, s := range whole {
		all[key] = s.roles
	}
	for key, roles := range single {
		for role, e := range roles {
			if held, ok := whole[key]; ok && !(version{e.At, e.SentAt, e.ID}).after(held.version) {
				continue
			}
			shown := slices.DeleteFunc(slices.Clone(all[key]), func(r string) bool { return r == role })
			if e.RoleAdded != "" {
				shown = append(shown, role)
			}
			all[key] = shown
		}
	}
	for key := range all {
		all[key] = slices.Clone(all[key])
		slices.Sort(all[key])
	}
	return all
}

func elements(array *string) []string {
	if array == nil {
		return nil
	}
	var all []string
	for _, role := range []string{`a "b" \c`, "admin", "billing"} {
		if strings.Contains(*array, strings.Trim(*record.Array([]string{role}), "{}")) {
			all = append(all, role)
		}
	}
	return all
}

// modelRecords is the rows that are shown, by recordKey; an absent key is NULL. Roles are apart: see rolesShown.
func modelRecords(events []mirror.Event) map[string]row {
	rows := make(map[string]row)
	for _, e := range events {
		rows[recordKey(e)] = row{}
	}
	own := map[string]*string{}
	for column, s := range shown(events) {
		key, name, _ := strings.Cut(column, ".")
		switch {
		case name == string(record.Roles):
		case name == string(record.DeletedAt):
			own[key] = s.value
		case s.value != nil && name == string(record.Permissions):
			rows[key][name] = strings.Join(elements(s.value), "|")
		case s.value != nil:
			rows[key][name] = *s.value
		}
	}
	for key, r := range rows {
		deleted := []*string{own[key]}
		if id, is := strings.CutPrefix(key, "membership:"); is {
			organization, user, _ := strings.Cut(id, "/")
			organization = strings.NewReplacer("%2F", "/", "%25", "%").Replace(organization)
			deleted = append(deleted, own["organization:"+organization], own[user])
		}
		for _, d := range deleted {
			if d != nil && (r["deleted_at"] == "" || *d < r["deleted_at"]) {
				r["deleted_at"] = *d
			}
		}
	}
	return rows
}

// recordsIn reads all records with a prefix, and the roles of memberships.
func recordsIn(t require.TestingT, pool *pgxpool.Pool, prefix string) (rows map[string]row, roles map[string][]string) {
	const own = `- '{provider,last_event_processed,placeholder_since,last_event_id,last_event_sent_at,last_event_fields,field_versions,own_deleted_at}'::text[]`
	rows = readRows(t, pool, `
		SELECT id, to_jsonb(u) - 'id' `+own+` FROM capydb_auth.users AS u WHERE id LIKE $1
		UNION ALL
		SELECT 'organization:' || id, to_jsonb(o) - 'id' `+own+` FROM capydb_auth.organizations AS o WHERE id LIKE $1
		UNION ALL
		SELECT 'membership:' || capydb_auth.membership_id(organization_id, user_id),
			to_jsonb(m) - '{organization_id,user_id,roles}'::text[] `+own+` || jsonb_build_object(
				'permissions', CASE WHEN permissions IS NOT NULL THEN coalesce((SELECT string_agg(p, '|' ORDER BY p COLLATE "C") FROM unnest(permissions) AS p), '') END)
		FROM capydb_auth.memberships AS m WHERE user_id LIKE $1
		UNION ALL
		SELECT 'invitation:' || id, to_jsonb(i) - 'id' `+own+` FROM capydb_auth.invitations AS i WHERE id LIKE $1
		UNION ALL
		SELECT 'session:' || id, to_jsonb(s) - '{id,ended_at}'::text[] `+own+` || jsonb_build_object('deleted_at', ended_at)
		FROM capydb_auth.sessions AS s WHERE id LIKE $1`, prefix)
	roles = make(map[string][]string)
	found, err := pool.Query(context.Background(), `
		SELECT 'membership:' || capydb_auth.membership_id(organization_id, user_id), roles
		FROM capydb_auth.memberships WHERE user_id LIKE $1 AND roles IS NOT NULL`, prefix+"%")
	require.NoError(t, err)
	var (
		key string
		set []string
	)
	_, err = pgx.ForEachRow(found, []any{&key, &set}, func() error {
		roles[key] = slices.Sorted(slices.Values(set))
		return nil
	})
	require.NoError(t, err)
	return rows, roles
}

// TestAnyOrderAndRepetitionGivesTheSameRecords is the promise of the mirror for all record types together: deletions
// of users and organizations included, which memberships show, and roles that come one by one.
func TestAnyOrderAndRepetitionGivesTheSameRecords(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	var names prefixes

	rapid.Check(t, func(rt *rapid.T) {
		prefix := names.next()
		events := rapid.Custom(func(t *rapid.T) []mirror.Event {
			events := make([]mirror.Event, rapid.IntRange(1, 30).Draw(t, "events"))
			for i := range events {
				events[i] = recordEvent(t, prefix, i)
			}
			return events
		}).Draw(rt, "history")
		deliveries := shuffled(events).Draw(rt, "deliveries")
		for _, b := range cut(rt, deliveries) {
			require.Len(rt, apply(rt, pool, b), len(b))
		}
		rows, roles := recordsIn(rt, pool, prefix)
		wantRoles := rolesShown(events)
		for key, set := range wantRoles {
			if len(set) == 0 && len(roles[key]) == 0 {
				delete(wantRoles, key) // NULL or empty
				delete(roles, key)
			}
		}
		require.Equal(rt, wantRoles, roles)
		require.Equal(rt, modelRecords(events), rows)
	})
}
