package delivery_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

// crm makes HubSpot destinations at a portal.
type crm struct {
	hubspot.Type

	url    string
	client *http.Client
}

func (c crm) New(config destination.Config, d destination.Deps) (destination.Destination, error) {
	config.Options = json.RawMessage(fmt.Sprintf(`{"base_url": %q, "id_property": "user_id", "companies": {"id_property": "organization_id", "on_delete": "archive"}}`, c.url))
	config.Secrets.Values = map[string]string{hubspot.TokenSecret: hubspottest.Token}
	d.Client = c.client
	return c.Type.New(config, d)
}

// In whatever order events of organizations, users and memberships come, and are delivered: in the end the contacts of members are
// associated with the companies of their organizations.
func TestCompaniesAndAssociationsFollowEventsInAnyOrder(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Work(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	for n, order := range []string{
		// Between bars all is delivered; a minus ends a membership.
		"organization:o user:u user:v membership:o/u membership:o/v",
		"membership:o/u membership:o/v user:v user:u organization:o",
		"membership:o/u | organization:o | user:u | user:v membership:o/v",
		"membership:o/v membership:o/u | user:u user:v | organization:o | -membership:o/v",
		"user:v | membership:o/v | organization:o | -membership:o/v membership:o/u | user:u",
		"membership:o/v -membership:o/v | user:v user:u | membership:o/u | organization:o",
	} {
		portal := hubspottest.New(hubspottest.Config{
			Properties:        map[string]hubspottest.Property{"user_id": {Unique: true}},
			CompanyProperties: map[string]hubspottest.Property{"organization_id": {Unique: true}},
		})
		id := b.AddType(t, fmt.Sprint("crm", n), crm{url: portal.Start(t), client: &http.Client{Transport: transport}}, admin.From{})
		eventTypes, err := destination.ExpandEventTypes([]string{"user.*", "organization.*", "membership.*"})
		require.NoError(t, err)
		b.SetEventTypes(t, id, eventTypes...)
		var want []string
		for some := range strings.SplitSeq(order, "|") {
			for text := range strings.FieldsSeq(some) {
				typ, name, _ := strings.Cut(strings.TrimPrefix(text, "-"), ":")
				ref := record.Ref{Type: record.Type(typ), ID: numbered(name, n)}
				switch {
				case text[0] == '-':
					b.ApplyEvents(t, b.Deletion(ref))
					want = slices.DeleteFunc(want, func(have string) bool { return have == ref.ID })
					continue
				case ref.Type == record.Membership:
					want = append(want, ref.ID)
				}
				b.ApplyRecords(t, ref)
			}
			b.Wake(t)
			var newest string
			require.NoError(t, b.Project.QueryRow(t.Context(), `SELECT max(id)::text FROM capydb_auth.changes`).Scan(&newest))
			b.Until(t, newest+" 0", func() string { return b.One(t, settled, id) })
		}
		var have []string
		for _, a := range portal.Associations() {
			have = append(have, portal.Company(a.Company)["organization_id"]+"/"+portal.Contact(a.Contact)["user_id"])
		}
		require.ElementsMatch(t, want, have, order)
		require.Len(t, portal.Contacts(), 2, order)
		require.Len(t, portal.Companies(), 1, order)
		require.Empty(t, portal.Violations())
		_, err = b.Control.Exec(t.Context(), `SELECT authsync.remove_destination($1)`, id)
		require.NoError(t, err)
	}
}

// numbered gives each letter of an id a number.
func numbered(id string, n int) string {
	parts := strings.Split(id, "/")
	for i := range parts {
		parts[i] += strconv.Itoa(n)
	}
	return strings.Join(parts, "/")
}

// settled is up to which change deliveries were made, and how many of them are not delivered.
const settled = `
	SELECT f.cursor || ' ' || (SELECT count(*) FROM authsync.deliveries AS d WHERE d.destination_id = $1 AND d.state NOT IN ('delivered', 'coalesced'))
	FROM authsync.destination_progress AS f
	WHERE f.destination_id = $1`
