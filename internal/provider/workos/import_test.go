package workos_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/workos"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func TestMain(m *testing.M) { os.Exit(providertest.Main(m)) }

// An object that is read says what a webhook with it says: the preset's expressions and the mappings of this package agree.
func TestReadAndReceivedAreTheSame(t *testing.T) {
	t.Parallel()
	const times = `"created_at":"2026-04-01T08:00:00.000Z","updated_at":"2026-05-04T10:19:59.123Z"`
	for name, tc := range map[string]struct {
		of          record.Type
		typ, object string
		former      bool
	}{
		"User":         {record.User, "user.updated", `{"object":"user","id":"user_1","email":"ada@example.com","first_name":"Ada","last_name":"Lovelace","name":"A. L.","profile_picture_url":"https://x.example/a.png","last_sign_in_at":"2026-05-01T10:00:00.000Z",` + times + `}`, false},
		"OneName":      {record.User, "user.updated", `{"object":"user","id":"user_1","email":null,"first_name":null,"last_name":null,"name":"Ada King Lovelace",` + times + `}`, false},
		"Organization": {record.Organization, "organization.updated", `{"object":"organization","id":"org_1","name":"Engines","domains":[],` + times + `}`, false},
		"Member":       {record.Membership, "organization_membership.updated", `{"object":"organization_membership","id":"om_1","organization_id":"org_1","user_id":"user_1","role":{"slug":"admin"},"status":"active",` + times + `}`, false},
		"Roles":        {record.Membership, "organization_membership.created", `{"object":"organization_membership","id":"om_1","organization_id":"org_1","user_id":"user_1","role":{"slug":"admin"},"roles":[{"slug":"admin"},{"slug":"billing"}],` + times + `}`, false},
		"Inactive":     {record.Membership, "organization_membership.updated", `{"object":"organization_membership","id":"om_1","organization_id":"org_1","user_id":"user_1","role":{"slug":"admin"},"status":"inactive",` + times + `}`, true},
		"Invited":      {record.Membership, "organization_membership.created", `{"object":"organization_membership","id":"om_1","organization_id":"org_1","user_id":"user_1","role":{"slug":"admin"},"status":"pending",` + times + `}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := fmt.Sprintf(`{"object":"event","id":"event_1","event":%q,"data":%s,"created_at":"2026-05-04T10:20:00.456Z"}`, tc.typ, tc.object)
			received := workos.New().Decode(provider.Message{Body: []byte(body), ReceivedAt: providertest.ReceivedAt()}, provider.Options{})[0]
			require.Equal(t, provider.Apply, received.Verdict, received.Reason)
			i := provider.Import{RunID: "run", Kind: provider.KindRefresh, FetchedAt: providertest.ReceivedAt().Add(time.Minute)}
			read := workos.New().DecodeRecord(tc.of, json.RawMessage(tc.object), i, provider.Options{})
			if tc.of == record.User {
				read = workos.New().DecodeUser(json.RawMessage(tc.object), i, provider.Options{})
			}
			require.Equal(t, provider.Apply, read.Verdict, read.Reason)
			require.Equal(t, received.Record(), read.Record())
			require.Equal(t, tc.former, read.Fields[record.DeletedAt] != nil)
			require.Equal(t, tc.former, received.Fields[record.DeletedAt] != nil)
			if tc.former { // the clocks differ: one is of the event, the other of the object
				delete(received.Fields, record.DeletedAt)
				delete(read.Fields, record.DeletedAt)
			}
			require.Equal(t, plain(received.Fields), plain(read.Fields))
			require.JSONEq(t, string(received.Raw), string(read.Raw))
		})
	}
}

func plain(fields provider.Fields) map[record.Column]string {
	values := map[record.Column]string{}
	for column, value := range fields {
		values[column] = "NULL"
		if value != nil {
			values[column] = *value
		}
	}
	return values
}
