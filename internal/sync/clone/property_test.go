package clone_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/clone"
)

// empty makes both mirrors and the clone as they were made.
func (b *testBundle) empty(t require.TestingT, mode string) {
	for _, pool := range []string{"source", "clone"} {
		p := b.source
		if pool == "clone" {
			p = b.clone
		}
		exec(t, p, `TRUNCATE capydb_auth.users, capydb_auth.organizations, capydb_auth.memberships, capydb_auth.invitations, capydb_auth.sessions,
			capydb_auth.changes, capydb_auth.processed_events, capydb_auth.erasures, capydb_auth.clone_progress`)
	}
	exec(t, b.control, `UPDATE authsync.clones SET phase = 'begin', place = NULL, steps = steps + 1, mode = $1, copied_at = NULL`, mode)
}

// events are events about few records of each type, at few times, so that they meet.
func events(t *rapid.T, made int) []mirror.Event {
	var all []mirror.Event
	for i := range rapid.IntRange(1, 4).Draw(t, "events") {
		who, at := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "who"), rapid.IntRange(0, 9).Draw(t, "at")
		ref := rapid.SampledFrom([]record.Ref{user(who), organization(who), member("a", who), {Type: record.Invitation, ID: who}}).Draw(t, "ref")
		id := fmt.Sprintf("e%d.%d", made, i)
		if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
			all = append(all, deletion(ref, id, at))
			continue
		}
		column := map[record.Type]string{record.User: "email", record.Organization: "name"}[ref.Type]
		if column == "" {
			column = "role"
		}
		e := about(ref, id, at, column, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "value"))
		e.NoLedger = rapid.Bool().Draw(t, "read from the provider")
		all = append(all, e)
	}
	return all
}

// Whatever arrives while rows are copied, and in whatever sequence copying and arriving alternate, the worker being cut off at any
// step: in the end the clone has the values and the feed of the source, and after a full copy in quiet all that orders events, too.
func TestAnyInterleaving(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 1)
	made := 0
	rapid.Check(t, func(rt *rapid.T) {
		mode := rapid.SampledFrom([]string{"following", "still"}).Draw(rt, "mode")
		b.config.Page = rapid.IntRange(1, 4).Draw(rt, "page")
		b.empty(rt, "following")
		for range rapid.IntRange(1, 14).Draw(rt, "turns") {
			switch rapid.IntRange(0, 5).Draw(rt, "turn") {
			case 0, 1:
				made++
				b.apply(rt, events(rt, made)...)
			case 2:
				b.config.Mirrors = &cutOff{Mirrors: b.mirrors, at: rapid.IntRange(1, 2).Draw(rt, "cut off at")}
				_, _, _ = clone.Step(context.Background(), b.config, b.cloneID)
				b.config.Mirrors = b.mirrors
			default:
				for range rapid.IntRange(1, 9).Draw(rt, "steps") {
					_, _, err := clone.Step(context.Background(), b.config, b.cloneID)
					require.NoError(rt, err)
				}
			}
		}
		b.settle(rt)
		b.sameValues(rt)
		b.resync(rt, mode)
		b.same(rt)
	})
}

// cutOff is a worker that dies behind a call of the databases, before it can record that.
type cutOff struct {
	clone.Mirrors

	at int
}

var errCutOff = errors.New("the worker died")

func (c *cutOff) after(err error) error {
	if c.at--; c.at <= 0 {
		return errCutOff
	}
	return err
}

func (c *cutOff) BeginClone(ctx context.Context, id, source uuid.UUID, o mirror.CloneOrigin) error {
	return c.after(c.Mirrors.BeginClone(ctx, id, source, o))
}

func (c *cutOff) WriteClone(ctx context.Context, id uuid.UUID, table mirror.CloneTable, rows []json.RawMessage) error {
	return c.after(c.Mirrors.WriteClone(ctx, id, table, rows))
}

func (c *cutOff) RemoveFromClone(ctx context.Context, id uuid.UUID, table mirror.CloneTable, keys []json.RawMessage) error {
	return c.after(c.Mirrors.RemoveFromClone(ctx, id, table, keys))
}

func (c *cutOff) WriteCloneChanges(ctx context.Context, id uuid.UUID, from mirror.CloneProgress, changes []mirror.CloneChange) (bool, error) {
	ok, err := c.Mirrors.WriteCloneChanges(ctx, id, from, changes)
	return ok, c.after(err)
}
