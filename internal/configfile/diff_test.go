package configfile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/configfile"
)

func read(t *testing.T, projects string) configfile.File {
	t.Helper()
	f, err := configfile.Read("f", []byte("version: 1\nprojects: "+projects+"\n"))
	require.NoError(t, err)
	return f
}

// What means the same is no difference, however it is written.
func TestTheSameMeaningIsNoDifference(t *testing.T) {
	t.Parallel()
	const app = "{shop: {destinations: {app: {type: webhook, options: {url: https://app.example.com}"
	for _, pair := range [][2]string{
		{"{shop: {integrations: {clerk: {}}}}", "{shop: {integrations: {clerk: {options: {absent_fields: '', record_types: [], signature_formats: }}}}}"},
		{
			"{shop: {integrations: {clerk: {options: {reconcile: {max_deleted_percent: 5}}}}}}",
			"{shop: {integrations: {clerk: {options: {reconcile: {max_deleted_percent: 5.0, every: ''}}}}}}",
		},
		{"{shop: {integrations: {better-auth: {}}}}", "{shop: {integrations: {better_auth: }}}"},
		{app + "}}}}", app + ", event_types: [user.*], fields: [], condition: ' ', holdback: ''}}}}"},
		{app + ", holdback: 90m}}}}", app + ", holdback: 1h30m}}}}"},
		{app + ", event_types: [user.deleted, user.created]}}}}", app + ", event_types: [user.created, user.deleted, user.created]}}}}"},
		{app + ", fields: [email, username]}}}}", app + ", fields: [username, email]}}}}"},
		{app + "}}}}", "{shop: {destinations: {app: {type: webhook, options: {url: https://app.example.com, limit: null}}}}}"},
	} {
		for _, way := range [][2]string{pair, {pair[1], pair[0]}} {
			plan, err := configfile.Compare(read(t, way[0]), read(t, way[1]))
			require.NoError(t, err)
			require.True(t, plan.Equal(), "%s\n%s\n%+v", way[0], way[1], plan.Changes)
		}
	}
}

func TestOtherProjectsAreNoDifference(t *testing.T) {
	t.Parallel()
	plan, err := configfile.Compare(read(t, "{shop: {}}"), read(t, "{shop: {}, other: {integrations: {clerk: {}}}}"))
	require.NoError(t, err)
	require.True(t, plan.Equal(), "%+v", plan.Changes)
	require.Equal(t, []string{"other"}, plan.OtherProjects)
}

func TestNoOptionsAreNoSetting(t *testing.T) {
	t.Parallel()
	plan, err := configfile.Compare(read(t, "{shop: {integrations: {clerk: {}}}}"), configfile.File{})
	require.NoError(t, err)
	require.Len(t, plan.Changes, 2)
	require.Equal(t, configfile.Create, plan.Changes[1].Action)
	require.Empty(t, plan.Changes[1].Settings)
}
