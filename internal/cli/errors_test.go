package cli

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestErrorsAreOneLineThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args   []string
		env    map[string]string
		status int
		says   string
	}{
		"UnknownCommand":        {[]string{"servr"}, nil, 2, `"servr" is no command of authsync: did you mean serve?`},
		"UnknownSubcommand":     {[]string{"events", "lists"}, nil, 2, `"lists" is no command of authsync events: did you mean list?`},
		"UnknownFlag":           {[]string{"projects", "list", "--colour"}, nil, 2, "see authsync projects list --help"},
		"TooFewArguments":       {[]string{"send", "demo"}, nil, 2, "authsync send PROJECT PROVIDER TYPE"},
		"TooManyArguments":      {[]string{"version", "x"}, nil, 2, `"x" is one argument too many`},
		"UnknownProvider":       {[]string{"integrations", "set", "p", "okta"}, nil, 2, "auth0, clerk, better_auth"},
		"NothingConfigured":     {[]string{"projects", "list"}, nil, 1, "run authsync dev, or set AUTHSYNC_URL and AUTHSYNC_API_KEY"},
		"NoDatabase":            {[]string{"migrate", "status"}, nil, 1, "run authsync dev, or set DATABASE_URL"},
		"NoKeyForDatabase":      {[]string{"send", "p", "clerk", "user.created"}, map[string]string{"DATABASE_URL": "postgres://h/d"}, 1, "AUTHSYNC_ENCRYPTION_KEY"},
		"NoKeyForServer":        {[]string{"projects", "list"}, map[string]string{"AUTHSYNC_URL": "http://h"}, 1, "AUTHSYNC_API_KEY is not"},
		"NobodyAnswers":         {[]string{"projects", "list"}, map[string]string{"AUTHSYNC_URL": "http://127.0.0.1:1", "AUTHSYNC_API_KEY": "k"}, 1, "authsync serve"},
		"WrongSetting":          {[]string{"config"}, map[string]string{"AUTHSYNC_ROLES": "cook"}, 1, "receiver, worker and api"},
		"ServeNeedsSettings":    {[]string{"serve"}, nil, 1, "DATABASE_URL is not set: the control database"},
		"WrongTime":             {[]string{"events", "list", "p", "--since", "yesterday"}, nil, 2, "RFC 3339"},
		"DownWithoutYes":        {[]string{"migrate", "down", "--steps", "1"}, map[string]string{"DATABASE_URL": "postgres://u@h/d"}, 2, "--yes"},
		"DeleteWithoutYes":      {[]string{"projects", "detach", "p"}, nil, 2, "--yes"},
		"IntegrationWithoutYes": {[]string{"integrations", "delete", "p", "clerk"}, nil, 2, "Webhooks of Clerk for project p will be rejected from now on, and the credentials are gone: add --yes if that is meant"},
		"DestinationWithoutYes": {[]string{"destinations", "delete", "p", "crm"}, nil, 2, "--yes"},
		"RevokeWithoutYes":      {[]string{"keys", "revoke", "k"}, nil, 2, "--yes"},
		"CancelWithoutYes":      {[]string{"deliveries", "cancel", "p", "17"}, nil, 2, "--yes"},
		"UpdateOfNothing":       {[]string{"projects", "update", "p"}, nil, 2, "--database-url-file"},
		"TypeWithASlip":         {[]string{"send", "p", "clerk", "user.creatd"}, nil, 2, `Clerk sends no event of type "user.creatd": did you mean user.created? (--any-type sends it anyway)`},
		"TypeOfAnother":         {[]string{"send", "p", "clerk", "group.created"}, nil, 2, "did you mean role.created?"},
		"TypeInCapitals":        {[]string{"send", "p", "clerk", "organizationmembership.created"}, nil, 2, "did you mean organizationMembership.created?"},
		"TypeLikeNone":          {[]string{"send", "p", "auth0", "x"}, nil, 2, "take one of user.created, user.updated, user.deleted, or --any-type"},
		"HelpOfNothing":         {[]string{"help", "evnts"}, nil, 2, `"evnts" is no command of authsync: did you mean events?`},
		"HelpOfNoSubcommand":    {[]string{"help", "events", "lists"}, nil, 2, `"lists" is no command of authsync events: did you mean list?`},
		"CompletionOfNoShell":   {[]string{"completion", "csh"}, nil, 2, "bash, zsh, fish or powershell"},
		"FollowWithoutLimit":    {[]string{"events", "list", "p", "--limit", "0"}, nil, 2, "--limit is 0"},
		"ReplayWithoutWhat":     {[]string{"events", "replay", "p"}, nil, 2, "--all"},
		"EmptySecretFile":       {[]string{"integrations", "set", "p", "clerk", "--credentials-file", "-"}, nil, 1, "there is nothing in standard input"},
		"UnsetSecret":           {[]string{"integrations", "set", "p", "clerk", "--secret-key-env", "NONE"}, nil, 1, "NONE is empty"},
		"CannotReadURL":         {[]string{"migrate", "up"}, map[string]string{"DATABASE_URL": "postgres://u:hunter2@h:port/d"}, 1, "DATABASE_URL has an invalid port"},
		"PoolInURL":             {[]string{"migrate", "up"}, map[string]string{"DATABASE_URL": "postgres://u:hunter2@h/d?pool_max_conns=9"}, 1, "DATABASE_URL has the parameter pool_max_conns, but authsync sizes its own pools"},
		"ModeInURL":             {[]string{"serve"}, map[string]string{"DATABASE_URL": "postgres://u:hunter2@h/d?default_query_exec_mode=exec"}, 1, "has the parameter default_query_exec_mode"},
		"ModeInKeywords":        {[]string{"migrate", "status"}, map[string]string{"DATABASE_URL": "host=h password=hunter2 dbname=d search_path=x"}, 1, "has the parameter search_path"},
		"WrongTLSMode":          {[]string{"migrate", "status"}, map[string]string{"DATABASE_URL": "postgres://u:hunter2@h/d?sslmode=bogus"}, 1, "DATABASE_URL has an invalid value of sslmode"},
		"HalfQuotedURL":         {[]string{"config"}, map[string]string{"DATABASE_URL": "\"postgres://u:hunter2@h/d"}, 1, "is in quotation marks"},
		"NobodyListens":         {[]string{"migrate", "up"}, map[string]string{"DATABASE_URL": "postgres://u:hunter2@127.0.0.1:1/d"}, 1, "cannot connect to the database: nothing listens on the host and port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"AUTHSYNC_DATA_DIR": t.TempDir()}
			maps.Copy(env, tc.env)
			r := run(t.Context(), env, "", tc.args...)
			require.Equal(t, tc.status, r.status, r.err)
			require.True(t, strings.HasPrefix(r.err, "authsync: "), r.err)
			require.Equal(t, 1, strings.Count(r.err, "\n"), r.err)
			require.Contains(t, r.err, tc.says)
			require.NotContains(t, r.err, "hunter2")
		})
	}
}

func TestServeRefusesASchemaThatIsNotCurrent(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"AUTHSYNC_DATA_DIR": t.TempDir(), "AUTHSYNC_LISTEN": "127.0.0.1:0",
		"DATABASE_URL": pgtest.URL(t, pgtest.Empty(t)), "AUTHSYNC_ENCRYPTION_KEY": seal.NewKey(),
	}
	r := run(t.Context(), env, "", "serve")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "run authsync migrate up")

	r = run(t.Context(), env, "", "migrate", "status")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.out, "missing")

	r = run(t.Context(), env, "", "migrate", "up")
	require.Zero(t, r.status, r.err)
	require.Zero(t, run(t.Context(), env, "", "migrate", "status").status)

	r = run(t.Context(), env, "", "migrate", "down", "--steps", "99", "--yes")
	require.Zero(t, r.status, r.err)
	require.Equal(t, 1, run(t.Context(), env, "", "migrate", "status").status)
}

// The parameters of a URL that only other drivers know mean the same to each command, also to the parts that are not of the pool.
func TestParametersOfOtherDriversAreLeftOut(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"AUTHSYNC_DATA_DIR": t.TempDir(), "AUTHSYNC_ENCRYPTION_KEY": seal.NewKey(),
		"DATABASE_URL": pgtest.URL(t, pgtest.Empty(t)) + "&keepalives=1&keepalives_idle=30&tcp_user_timeout=10000&gssencmode=disable",
	}
	for _, args := range [][]string{
		{"migrate", "up"}, {"migrate", "status"}, {"keys", "create", "ops"}, {"migrate", "down", "--steps", "99", "--yes"},
	} {
		r := run(t.Context(), env, "", args...)
		require.Zero(t, r.status, "%v: %s", args, r.err)
	}
}

// A dev server's secrets are for that server and its databases alone.
func TestTheDevServersSecretsGoNowhereElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, config.WriteConnection(dir, config.Connection{
		URL: "http://127.0.0.1:1", APIKey: "capy_test_dev", DatabaseURL: "postgres://dev/authsync",
	}))
	require.NoError(t, config.WriteFile(dir+"/"+config.KeyFile, []byte("dev key\n")))
	ask := func(env map[string]string) *session {
		env["AUTHSYNC_DATA_DIR"] = dir
		return &session{Process: Process{Lookup: func(name string) string { return env[name] }}}
	}

	url, key, err := ask(map[string]string{}).server()
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:1", url)
	require.Equal(t, "capy_test_dev", key.Reveal())
	_, _, err = ask(map[string]string{"AUTHSYNC_URL": "https://sync.example.com"}).server()
	require.ErrorContains(t, err, "AUTHSYNC_API_KEY is not")
	_, key, err = ask(map[string]string{"AUTHSYNC_URL": "http://127.0.0.1:1"}).server()
	require.NoError(t, err)
	require.Equal(t, "capy_test_dev", key.Reveal())

	database, key, err := ask(map[string]string{}).sealed()
	require.NoError(t, err)
	require.Equal(t, "postgres://dev/authsync", database.Reveal())
	require.Equal(t, "dev key", key.Reveal())
	_, _, err = ask(map[string]string{"DATABASE_URL": "postgres://prod/authsync"}).sealed()
	require.ErrorContains(t, err, "AUTHSYNC_ENCRYPTION_KEY is not")
	_, key, err = ask(map[string]string{"DATABASE_URL": "postgres://dev/authsync"}).sealed()
	require.NoError(t, err)
	require.Equal(t, "dev key", key.Reveal())
}
