package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const cloneFile = `
version: 1
projects:
  preview:
    database_url: {env: PREVIEW_DATABASE_URL}
    clone_of: {project: shop, mode: MODE}
`

func TestCloneInConfiguration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.env["PREVIEW_DATABASE_URL"] = pgtest.URL(t, pgtest.Project(t))
	following, still := configFile(t, strings.ReplaceAll(cloneFile, "MODE", "following")), configFile(t, strings.ReplaceAll(cloneFile, "MODE", "still"))
	r := b.run(t, "plan", "-f", following)
	require.Equal(t, 2, r.status, r.err)
	require.Equal(t, `+ project preview
    clone_of.mode: "following"
    clone_of.project: "shop"
    database_url: will be set, from env PREVIEW_DATABASE_URL

1 to create, 0 to change, 0 unchanged, 0 not in the file.
Other projects of the server: shop.
`, r.out)
	require.Equal(t, "Created project preview.\n", b.must(t, "apply", "-f", following))
	b.equal(t, following)

	r = b.run(t, "export", "preview")
	require.Contains(t, r.out, "    clone_of:\n      project: shop\n      mode: following\n")
	require.Contains(t, r.err, "Note: project preview is a clone of shop, which is not in the file.\n")
	require.NotContains(t, r.out, b.env["PREVIEW_DATABASE_URL"])
	satisfiesSchema(t, r.out)

	// What it does from now on can be changed; what it is a clone of cannot.
	r = b.run(t, "plan", "-f", still)
	require.Equal(t, 2, r.status, r.err)
	require.Contains(t, r.out, "~ project preview\n    clone_of.mode: \"following\" → \"still\"\n")
	require.Equal(t, "Changed project preview.\n", b.must(t, "apply", "-f", still))
	b.equal(t, still)
	require.Contains(t, b.must(t, "export"), "      mode: still\n")
	b.must(t, "apply", "-f", following)
	b.equal(t, following)
	for _, command := range []string{"plan", "apply"} {
		r = b.run(t, command, "-f", configFile(t, "version: 1\nprojects: {preview: {}}\n"))
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "project preview is a clone of shop on the server, and none in the file")
	}

	// A clone whose source is gone is a project like any other.
	b.must(t, "projects", "resync", "preview", "--still")
	b.must(t, "projects", "detach", "shop", "--yes")
	r = b.run(t, "export")
	require.NotContains(t, r.out, "clone_of")
	require.Contains(t, r.err, "Note: project preview is a clone of shop, which was detached: the file has it as a project like any other.\n")
	b.equal(t, configFile(t, r.out))
}
