package mirror_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// life is what a preset's fixtures say of a user who is created, updated and deleted.
type life struct {
	preset string
	// files are the fixtures of the three events. An empty second one is the first with the type of types.
	files [3]string
	types [2]string
	// user and times are what the fixtures have in common, and what a test replaces.
	user  string
	times []string
	// was is the address of the update that is replaced; empty: it has another one already, or none.
	was string
	// arrival says that the provider gives no time, so that the order is that of arrival; deletion that it gives none of a deletion.
	arrival, deletion bool
	// email is the address in the end; with arrival, those of creation and update.
	email []string
}

const engines = "ada@engines.example.com"

func lives() []life {
	const ada = "ada@example.com"
	return []life{
		{ // the deletion has the whole object
			preset: "workos", files: [3]string{"user.created", "", "user.deleted"}, types: [2]string{`"user.created"`, `"user.updated"`},
			user:  "user_01HXJ9Q4T7Z6S8V0K2M3N4P5R6",
			times: []string{"2026-05-04T10:19:59.123Z", "2026-05-04T10:20:00.456Z"}, was: ada, email: []string{ada},
		},
		{
			preset: "logto", files: [3]string{"user.created", "", "user.deleted"}, types: [2]string{`"User.Created"`, `"User.Data.Updated"`},
			user: "r2fq8tdiy2i1", times: []string{"2026-05-04T10:20:00.456Z"}, was: ada, email: []string{engines},
		},
		{
			preset: "kinde", files: [3]string{"user.created", "user.updated", "user.deleted"}, user: "kp_0c17e2b1",
			times: []string{"2026-05-04T10:20:01.250Z"}, was: ada, email: []string{engines},
		},
		{
			preset: "stytch", files: [3]string{"user.create", "user.update.unverified", "user.delete"},
			user: "user-live-fde03dd1-fff7-4b3c-9b31-ead3fbc224de", times: []string{"2026-05-04T10:20:00.456Z"},
			email: []string{"old@example.com"},
		},
		{
			preset: "stack_auth", files: [3]string{"user.created", "", "user.deleted"}, types: [2]string{`"user.created"`, `"user.updated"`},
			user: "2209422a-eef7-4668-967d-be79409972c5", was: ada, arrival: true, email: []string{ada, engines},
		},
		{
			preset: "propelauth", files: [3]string{"user.created", "user.updated", "user.deleted"},
			user: "31c41c16-c281-44ae-9602-8a047e3bf33d", arrival: true, email: []string{ada, engines},
		},
		{ // the marked deletion is an update of the row, with all of it
			preset: "supabase", files: [3]string{"user.insert", "user.update", "user.softdelete"}, user: "8d0fd2b3-9ca7-4d9e-a95f-9e13dded323e",
			times: []string{"2026-05-04T10:19:59.123456+00:00", "2026-05-04T10:20:00+00:00"}, was: ada, email: []string{ada},
		},
		{ // that of a row has the time of the row's last change alone
			preset: "supabase", files: [3]string{"user.insert", "user.update", "user.delete"}, user: "8d0fd2b3-9ca7-4d9e-a95f-9e13dded323e",
			times: []string{"2026-05-04T10:19:59.123456+00:00"}, was: ada, deletion: true, email: []string{ada},
		},
		{
			preset: "keycloak", files: [3]string{"user.create", "user.update", "user.delete"}, user: "0b5a5c0e-7d4c-4f6c-b0b7-3f6f2ad0c9c1",
			times: []string{"1777890001250"}, email: []string{""},
		},
		{
			preset: "fusionauth", files: [3]string{"user.create.complete", "user.update.complete", "user.delete.complete"},
			user: "7b6c267c-4a31-47a4-8c19-11aa40dbd304", times: []string{"1777890001250"},
			was: ada, email: []string{engines},
		},
	}
}

// body is the nth event.
func (l *life) body(t *testing.T, n int) string {
	t.Helper()
	file := l.files[n]
	if file == "" {
		file = l.files[0]
	}
	text, err := os.ReadFile("../provider/custom/testdata/" + l.preset + "/" + file + ".json")
	require.NoError(t, err)
	var replace []string
	if l.files[n] == "" {
		replace = append(replace, l.types[0], l.types[1])
	}
	for _, at := range l.times {
		now := iso(float64(n + 1))
		if !strings.Contains(at, "T") {
			now = ms(float64(n + 1))
		}
		replace = append(replace, at, now)
	}
	if n == 1 && l.was != "" {
		replace = append(replace, l.was, engines)
	}
	return strings.NewReplacer(replace...).Replace(string(text))
}

// decode decodes each of the three events as it arrives in each of four places.
func (l *life) decode(t *testing.T) (decoded [3][4]provider.Event) {
	t.Helper()
	kind := custom.New(l.preset)
	for n := range decoded {
		body := []byte(l.body(t, n))
		for at := range decoded[n] {
			d := provider.Message{ReceivedAt: received(at), Body: body, MessageID: "msg"}
			events, err := kind.DecodeContext(t.Context(), d, provider.Options{})
			require.NoError(t, err)
			require.Len(t, events, 1)
			require.Equal(t, provider.Apply, events[0].Verdict, events[0].Reason)
			require.Equal(t, l.user, events[0].UserID)
			decoded[n][at] = events[0]
		}
	}
	return decoded
}

func received(at int) time.Time { return second(float64(100 + at)) }

// events are those of a user's life that arrive in an order; the fourth is the repetition of one of them, which arrives last.
func (l *life) events(decoded *[3][4]provider.Event, user string, arrival []int, repeated int) (events [4]mirror.Event) {
	for at, n := range append(slices.Clone(arrival), repeated) {
		e := decoded[n][at]
		e.ID, e.UserID = fmt.Sprint(e.ID, n, user), user
		e.Raw = json.RawMessage(strings.ReplaceAll(string(e.Raw), l.user, user))
		if len(e.Raw) == 0 {
			e.Raw = nil
		}
		if at == 3 {
			n = 3
		}
		events[n] = mirror.Event{Event: e, Provider: l.preset, InboxID: int64(at + 1), ReceivedAt: received(at)}
	}
	return events
}

// permutations are all orders of these numbers.
func permutations(of []int) (all [][]int) {
	if len(of) == 0 {
		return [][]int{{}}
	}
	for i := range of {
		rest := append(append([]int{}, of[:i]...), of[i+1:]...)
		for _, p := range permutations(rest) {
			all = append(all, append([]int{of[i]}, p...))
		}
	}
	return all
}

// TestPresetsInAnyOrder: whatever the order in which a preset's events arrive and are applied, and whichever is repeated, the user ends as
// the same row. Where the provider gives no time, what arrived last decides, whatever the order of applying; a repetition that is
// applied after what it repeats changes nothing.
func TestPresetsInAnyOrder(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, l := range lives() {
		seen[l.preset] = true
		t.Run(l.preset+"/"+l.files[2], func(t *testing.T) {
			t.Parallel()
			pool, decoded := pgtest.Project(t), l.decode(t)
			var atOnce []mirror.Event
			steps := make([][]mirror.Event, 4)
			arrivals := map[string][]int{}
			for _, arrival := range permutations([]int{0, 1, 2}) {
				for repeated := range 3 {
					for _, order := range permutations([]int{0, 1, 2, 3}) {
						if (l.arrival || l.deletion && repeated == 2) && slices.Index(order, 3) < slices.Index(order, repeated) {
							continue // its time is that of its arrival
						}
						for _, alone := range []bool{false, true} {
							user := fmt.Sprintf("u-%v-%d-%v-%t", arrival, repeated, order, alone)
							user = strings.NewReplacer(" ", "", "[", "", "]", "").Replace(user)
							arrivals[user] = arrival
							events := l.events(&decoded, user, arrival, repeated)
							for step, n := range order {
								if alone {
									steps[step] = append(steps[step], events[n])
								} else {
									atOnce = append(atOnce, events[n])
								}
							}
						}
					}
				}
			}
			apply(t, pool, atOnce)
			for _, batch := range steps {
				apply(t, pool, batch)
			}
			rows, first := rowsOf(t, pool), map[string]string{}
			require.Len(t, rows, len(arrivals))
			for user, arrival := range arrivals {
				got := rows[user]
				group := ""
				if l.arrival || l.deletion {
					group = fmt.Sprint(arrival)
				}
				if first[group] == "" {
					first[group] = got.text
				}
				require.Equal(t, first[group], got.text, user)
				want := mirrored{email: l.email[0], deleted: true}
				if l.arrival {
					want.deleted = arrival[2] == 2
					if slices.Index(arrival, 1) > slices.Index(arrival, 0) {
						want.email = l.email[1]
					}
				}
				got.text = ""
				require.Equal(t, want, got, user)
			}
		})
	}
	require.Len(t, seen, len(provider.Presets()))
}

// mirrored is a row: all of it as a text without the id, and what a test names.
type mirrored struct {
	text, email string
	deleted     bool
}

func rowsOf(t *testing.T, pool *pgxpool.Pool) map[string]mirrored {
	t.Helper()
	rows, err := pool.Query(context.WithoutCancel(t.Context()), `
		SELECT id, replace((to_jsonb(u) - '{last_event_processed,last_event_sent_at,last_event_id,last_event_fields,field_versions}'::text[])::text, id, 'ID'),
			coalesce(email, ''), deleted_at IS NOT NULL
		FROM capydb_auth.users AS u`)
	require.NoError(t, err)
	all := map[string]mirrored{}
	var id string
	var one mirrored
	_, err = pgx.ForEachRow(rows, []any{&id, &one.text, &one.email, &one.deleted}, func() error {
		all[id] = one
		return nil
	})
	require.NoError(t, err)
	return all
}
