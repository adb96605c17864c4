package mirror_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// people have a given name, a family name and a username each; "-" for none.
var people = map[string][3]string{ //nolint:gochecknoglobals // read-only
	"u01": {"Ada", "Lovelace", "countess"}, "u02": {"Adam", "-", "lovely"}, "u03": {"-", "Adams", "-"}, "u04": {"-", "-", "ada.x"},
	"u05": {"Ada", "Adams", "-"}, "u06": {"Grace", "Adams", "-"}, "u07": {"\u00c9mile", "Zola", "-"}, "u08": {"Zo\u00eb", "Angstr\u00f6m", "-"},
	"u09": {"a%b", "c_d", "-"}, "u10": {`a\b`, "axb", "-"}, "u11": {"-", "-", "-"}, "u12": {"Anders", "\u00c5strand", "-"},
	"u13": {strings.Repeat("\U0001f600", 5000), strings.Repeat("\u00e9", 5000), strings.Repeat("z", 5000)},
}

// withPeople has these users in a mirror.
func withPeople(t *testing.T, pool *pgxpool.Pool) *mirror.Mirrors {
	t.Helper()
	m := newMirrors(t, pool)
	require.NoError(t, m.Install(t.Context(), pgtest.URL(t, pool), projectID(), false))
	var events []mirror.Event
	for id, names := range people {
		e := update("evt-"+id, 1)
		e.UserID = id
		for i, column := range []record.Column{record.FirstName, record.LastName, record.Username} {
			if names[i] != "-" {
				e.Fields[column] = &names[i]
			}
		}
		events = append(events, e)
	}
	results, err := m.Apply(t.Context(), projectID(), events)
	require.NoError(t, err)
	for _, r := range results {
		require.NoError(t, r.Err, "a name of any length is stored")
		require.Equal(t, mirror.Applied, r.Outcome)
	}
	return m
}

// named are the ids of the records of which a name begins with a text, read in pages of a size.
func named(t *testing.T, m *mirror.Mirrors, of record.Type, name string, size int) []string {
	t.Helper()
	ids := []string{}
	f := mirror.RecordFilter{Type: of, Name: name, Limit: size}
	for {
		page, err := m.Records(t.Context(), projectID(), f)
		require.NoError(t, err)
		for _, r := range page {
			ids = append(ids, r.ID)
			require.NotContains(t, string(r.Row), `"raw"`)
		}
		if len(page) < size {
			return ids
		}
		f.AfterName, f.After = page[size-1].Name, page[size-1].ID
	}
}

func TestUsersAreFoundByHowTheirNameBegins(t *testing.T) {
	t.Parallel()
	for database, pool := range map[string]*pgxpool.Pool{"usual": pgtest.Project(t), "Swedish": pgtest.Collated(t, "sv")} {
		m := withPeople(t, pool)
		for name, want := range map[string][]string{
			"ada":                  {"u05", "u01", "u04", "u02", "u03", "u06"}, // u06 by its family name
			"ADA L":                {"u01"},
			"Ada Lovelace":         {"u01"},
			"lovelace":             {"u01"},
			"love":                 {"u01"}, // a username counts where there is no other name
			"ada.":                 {"u04"},
			"\u00e9m":              {"u07"},
			"\u00c9MILE z":         {"u07"},
			"angstr\u00d6":         {"u08"},
			"a":                    {"u09", "u10", "u05", "u01", "u04", "u02", "u03", "u06", "u12", "u08"},
			"a%":                   {"u09"},
			"c_":                   {"u09"},
			"a_":                   {},
			`a\`:                   {"u10"},
			"\u00e5s":              {"u12"},
			"nobody":               {},
			"\U0001f600\U0001f600": {"u13"},
		} {
			for _, size := range []int{1, 2, 100} {
				require.Equal(t, want, named(t, m, record.User, name, size), "%s, %d in a page, %s", name, size, database)
			}
		}
	}
}

func TestOrganizationsAreFoundByHowTheirNameBegins(t *testing.T) {
	t.Parallel()
	m := newMirrors(t, pgtest.Project(t))
	var events []mirror.Event
	for i, name := range []string{"Acme Ltd.", "acme", "Bolt", strings.Repeat("long", 5000)} {
		e := about(record.Organization, update(fmt.Sprint("evt-", i), 1, "name", name))
		e.OrganizationID, e.UserID = fmt.Sprint("org_", i), ""
		events = append(events, e)
	}
	_, err := m.Apply(t.Context(), projectID(), events)
	require.NoError(t, err)
	require.Equal(t, []string{"org_1", "org_0"}, named(t, m, record.Organization, "ACME", 1))
	require.Equal(t, []string{"org_3"}, named(t, m, record.Organization, "long", 5))
}
