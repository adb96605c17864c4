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

// A clone comes behind its source, whatever their names are.
func TestClonesAreMadeBehindTheirSources(t *testing.T) {
	t.Parallel()
	plan, err := configfile.Compare(read(t, "{a: {clone_of: {project: c}}, b: {}, c: {clone_of: {project: z}}, z: {integrations: {clerk: {}}}}"), configfile.File{})
	require.NoError(t, err)
	var names []string
	for _, c := range plan.Changes {
		names = append(names, c.Name)
	}
	require.Equal(t, []string{"z", "clerk", "c", "a", "b"}, names)
}

func TestWhatCannotBeChangedOfACloneIsRefused(t *testing.T) {
	t.Parallel()
	const clone = "{a: {}, b: {}, next: {clone_of: {project: a}}}"
	for _, tc := range []struct{ file, server, want string }{
		{clone, "{a: {}, b: {}, next: {}}", "project next is a clone of a in the file, and none on the server: a project cannot become a clone. Choose another name, or detach"},
		{"{next: {}}", clone, "project next is a clone of a on the server, and none in the file: a clone stays one. Add clone_of: {project: a"},
		{
			"{next: {clone_of: {project: b}}}", clone,
			"project next is a clone of a on the server, and of b in the file: its source cannot be changed. Choose another name, or detach that one first (authsync projects detach next)",
		},
		{"{next: {clone_of: {project: c}}}", "{a: {}}", "project next is a clone of c, but neither the file nor the server has a project of that name"},
	} {
		_, err := configfile.Compare(read(t, tc.file), read(t, tc.server))
		require.ErrorContains(t, err, tc.want)
	}
	plan, err := configfile.Compare(read(t, "{next: {clone_of: {project: a, mode: following}}}"), read(t, clone))
	require.NoError(t, err)
	require.True(t, plan.Equal(), "the default is written out: %+v", plan.Changes)
	plan, err = configfile.Compare(read(t, "{next: {clone_of: {project: a, mode: still}}}"), read(t, clone))
	require.NoError(t, err)
	require.Equal(t, []configfile.Setting{{Name: "clone_of.mode", Server: "following", File: "still"}}, exported(plan.Changes[0].Settings))
}

// exported are settings as --json has them.
func exported(settings []configfile.Setting) []configfile.Setting {
	made := make([]configfile.Setting, 0, len(settings))
	for _, s := range settings {
		made = append(made, configfile.Setting{Name: s.Name, Server: s.Server, File: s.File})
	}
	return made
}
