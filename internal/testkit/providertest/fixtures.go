package providertest

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Main is a TestMain with the flag -update, which writes the expected events
// anew: go test ./internal/provider/... -update.
func Main(m *testing.M) int {
	flag.Bool("update", false, "write the expected events of the fixtures anew")
	flag.Parse()
	return m.Run()
}

// goldenEvent is provider.Event as it stands beside a fixture.
type goldenEvent struct {
	Ordinal               int             `json:"ordinal"`
	ID                    string          `json:"id"`
	IDIsDigest            bool            `json:"id_is_digest,omitempty"`
	Type                  string          `json:"type"`
	RecordType            record.Type     `json:"record_type,omitempty"`
	OrganizationID        string          `json:"organization_id,omitempty"`
	UserID                string          `json:"user_id"`
	ObjectID              string          `json:"object_id,omitempty"`
	Verdict               string          `json:"verdict"`
	Reason                string          `json:"reason,omitempty"`
	At                    *time.Time      `json:"at"`
	AtIsReceipt           bool            `json:"at_is_receipt,omitempty"`
	DeletedClock          *time.Time      `json:"deleted_clock"`
	DeletedClockIsReceipt bool            `json:"deleted_clock_is_receipt,omitempty"`
	SentAt                *time.Time      `json:"sent_at"`
	LastSignInIsLeast     bool            `json:"last_sign_in_is_least,omitempty"`
	RoleAdded             string          `json:"role_added,omitempty"`
	RoleRemoved           string          `json:"role_removed,omitempty"`
	Says                  provider.Fields `json:"says,omitempty"`
	Raw                   json.RawMessage `json:"raw,omitempty"`
}

// ReceivedAt is when the deliveries of fixtures arrive.
func ReceivedAt() time.Time { return time.Date(2026, 5, 4, 10, 20, 31, 0, time.UTC) }

// everything is option record_types for all record types.
func everything() []string {
	return []string{provider.MirrorUsers, provider.MirrorOrganizations, provider.MirrorSessions}
}

// Fixtures decodes each testdata/NAME.json, the exact body of a delivery, and
// compares the events with testdata/NAME.events.json. Words in the name, set
// off by dots, say more of the delivery: "clear" sets absent_fields to clear,
// "sessions" mirrors sessions too, "usersonly" nothing but users, "signed" gives
// it the id "msg_fixture" from its headers. So does the argument signed, for a
// provider all of whose deliveries have an id.
func Fixtures(t *testing.T, p provider.Provider, signed bool) {
	t.Helper()
	FixturesIn(t, "testdata", p, signed)
}

// FixturesIn is Fixtures for a folder other than testdata.
func FixturesIn(t *testing.T, dir string, p provider.Provider, signed bool) {
	t.Helper()
	testdata := os.DirFS(dir)
	paths, err := fs.Glob(testdata, "*.json")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		name := strings.TrimSuffix(path, ".json")
		if strings.HasSuffix(name, ".events") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := fs.ReadFile(testdata, path)
			require.NoError(t, err)
			d := provider.Message{ReceivedAt: ReceivedAt(), Body: body}
			if signed || strings.Contains(name, ".signed") {
				d.MessageID = "msg_fixture"
			}
			var o provider.Options
			if strings.Contains(name, ".clear") {
				o.AbsentFields = provider.ClearAbsent
			}
			switch {
			case strings.Contains(name, ".sessions"):
				o.RecordTypes = everything()
			case strings.Contains(name, ".usersonly"):
				o.RecordTypes = []string{provider.MirrorUsers}
			}
			events := p.Decode(d, o)
			RequireValid(t, events)
			compare(t, dir, name+".events.json", events)
		})
	}
}

func compare(t *testing.T, dir, path string, events []provider.Event) {
	t.Helper()
	golden := make([]goldenEvent, len(events))
	for i, e := range events {
		golden[i] = goldenEvent{
			Ordinal: e.Ordinal, ID: e.ID, IDIsDigest: e.IDIsDigest, Type: e.Type,
			RecordType: e.RecordType, OrganizationID: e.OrganizationID, UserID: e.UserID, ObjectID: e.ObjectID,
			Verdict: [...]string{"apply", "ignore", "fail", "refresh"}[e.Verdict], Reason: e.Reason,
			At: orNull(e.At), DeletedClock: orNull(e.DeletedClock), SentAt: orNull(e.SentAt),
			AtIsReceipt: e.AtIsReceipt, DeletedClockIsReceipt: e.DeletedClockIsReceipt,
			LastSignInIsLeast: e.LastSignInIsLeast,
			RoleAdded:         e.RoleAdded, RoleRemoved: e.RoleRemoved,
			Says: e.Fields, Raw: e.Raw,
		}
	}
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	require.NoError(t, encoder.Encode(golden))
	if update := flag.Lookup("update"); update != nil && update.Value.String() == "true" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), got.Bytes(), 0o600))
		return
	}
	want, err := fs.ReadFile(os.DirFS(dir), path)
	require.NoError(t, err, "go test with -update writes it")
	require.Equal(t, string(want), got.String(), "go test with -update writes %s anew", path)
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
