package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// commandNeed is what a key must have to run a command: the least role, and whether it must be for all projects.
type commandNeed struct {
	command, args string
	role          project.Role
	ofAll         bool
}

// commandNeeds is written by hand: who may run what is decided here a second time.
func commandNeeds() []commandNeed {
	look, operate, admin := project.ReadOnly, project.Operator, project.Admin
	return []commandNeed{
		{"audit list", "--project shop", admin, false},
		{"audit list", "", admin, true},
		{"audit export", "--project shop", admin, false},
		{"audit export", "", admin, true},
		{"deliveries list", "shop", look, false},
		{"deliveries get", "shop 1", look, false},
		{"deliveries retry", "shop 1", operate, false},
		{"deliveries cancel", "shop 1 --yes", operate, false},
		{"deliveries confirm", "shop 1", operate, false},
		{"destinations list", "shop", look, false},
		{"destinations get", "shop app", look, false},
		{"destinations preview", "shop app --user u", look, false},
		{"destinations pause", "shop app", operate, false},
		{"destinations resume", "shop app", operate, false},
		{"destinations test", "shop app", operate, false},
		{"destinations replay", "shop app --state failed", operate, false},
		{"destinations create", "shop app --type webhook --url https://hooks.example.com", admin, false},
		{"destinations update", "shop app --fields email", admin, false},
		{"destinations rotate", "shop app", admin, false},
		{"events list", "shop", look, false},
		{"events get", "shop 1.0", look, false},
		{"events rejected", "shop", look, false},
		{"events replay", "shop 1.0", operate, false},
		{"explain", "shop u", look, false},
		{"export", "shop", look, false},
		{"grant", "shop somebody", admin, false},
		{"integrations list", "shop", look, false},
		{"integrations get", "shop clerk", look, false},
		{"integrations set", "shop clerk --drop-old-secrets", admin, false},
		{"keys list", "", look, true},
		{"keys create", "x", admin, true},
		{"keys revoke", uuid.NewString() + " --yes", admin, true},
		{"projects list", "", look, false},
		{"projects get", "shop", look, false},
		{"projects create", "other2", admin, true},
		{"projects update", "shop --name shop", admin, true},
		{"projects clone", "shop other3 --no-wait", admin, true},
		{"projects resync", "other3 --no-wait", admin, true},
		{"backfill", "shop clerk --no-wait", operate, false},
		{"reconcile", "shop clerk --no-wait", operate, false},
		{"reconcile", "shop clerk --no-wait --force", admin, false},
		{"redeliver", "shop auth0", operate, false},
		{"records list", "shop organization", look, false},
		{"refresh", "shop u", operate, false},
		{"users list", "shop", look, false},
		{"problems list", "--project shop", look, false},
		{"erasures list", "shop", look, false},
		{"erasures get", "shop " + uuid.NewString(), look, false},
		{"erase", "shop u --yes", admin, false},

		// What deletes comes last.
		{"destinations delete", "shop app --yes", admin, false},
		{"integrations delete", "shop clerk --yes", admin, false},
		{"projects detach", "shop --yes", admin, true},
	}
}

// withoutAKey are the commands that show no key of their own.
func withoutAKey() map[string]string {
	const databases, local, calls = "works on the databases, with their URL", "asks no server", "makes the calls of other commands, by a file"
	return map[string]string{
		"dev": databases, "serve": databases, "migrate up": databases, "migrate down": databases, "migrate status": databases,
		"keys rotate-encryption": databases, "doctor": databases, "self-test": databases, "send": databases,
		"config": local, "completion": local, "version": local, "generate": local, "demo-provider": local,
		"demo-provider users create": local, "demo-provider users delete": local, "demo-provider users list": local, "demo-provider users update": local,
		"plan": calls, "apply": calls, "ready": "asks /readyz, which is for everybody",
		"listen":               "waits until it is stopped; it finds the project by the call of projects get",
		"integrations preview": "asks for a preview by an integration of any project that the key sees",
	}
}

// refusals are the codes of answers to keys that may not make a call.
func refusals() []string {
	return []string{"unauthenticated", "insufficient_role", "key_limited_to_project", "project_not_found"}
}

// Every command is refused to exactly the keys that may not make its calls: the command itself decides nothing.
func TestEveryCommandIsForTheRightKeys(t *testing.T) {
	t.Parallel()
	known := withoutAKey()
	for _, n := range commandNeeds() {
		known[n.command] = ""
	}
	for _, c := range everyCommand(newRoot(Process{})) {
		name := strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), "authsync"), " ")
		if isGroup := c.HasSubCommands() && name != "demo-provider"; isGroup {
			continue
		}
		require.Contains(t, known, name, "each command has an entry")
	}

	b := setup(t)
	shop, err := b.app.Store.FindProject(t.Context(), "shop")
	require.NoError(t, err)
	other, err := b.app.Store.CreateProject(t.Context(), "other", pgtest.URL(t, pgtest.Project(t)), false)
	require.NoError(t, err)
	b.must(t, "destinations", "create", "shop", "app", "--type", "webhook", "--url", "https://hooks.example.com")
	type holder struct {
		name               string
		role               project.Role
		limited, elsewhere bool
		secret             string
	}
	key := func(name string, role project.Role, of *project.Project) holder {
		in := project.KeyInput{Name: name, Role: role}
		if of != nil {
			in.ProjectID = &of.ID
		}
		_, secret, err := b.app.Store.CreateKey(t.Context(), in)
		require.NoError(t, err)
		return holder{name, role, of != nil, of != nil && of.ID != shop.ID, secret}
	}
	holders := []holder{ // those who may do the most come last
		{name: "stranger", secret: "capy_live_nobody"},
		key("reader of shop", project.ReadOnly, &shop), key("reader", project.ReadOnly, nil), key("admin of another project", project.Admin, &other),
		key("operator", project.Operator, nil), key("admin of shop", project.Admin, &shop), key("admin", project.Admin, nil),
	}
	var wrong []string
	for _, n := range commandNeeds() {
		for _, h := range holders {
			env := map[string]string{"AUTHSYNC_URL": b.env["AUTHSYNC_URL"], "AUTHSYNC_API_KEY": h.secret, "AUTHSYNC_DATA_DIR": t.TempDir()}
			args := slices.Concat(strings.Fields(n.command), strings.Fields(n.args), []string{"--json"})
			r := run(t.Context(), env, "", args...)
			var problem struct {
				Code string `json:"code"`
			}
			_ = json.Unmarshal([]byte(r.err), &problem) // what a command says otherwise is no refusal
			want := ""
			switch {
			case h.role == "":
				want = "unauthenticated"
			case n.ofAll && h.limited:
				want = "key_limited_to_project"
			case h.elsewhere && n.command != "projects list":
				want = "project_not_found"
			case !h.role.Includes(n.role):
				want = "insufficient_role"
			}
			about := strings.Join(args, " ") + " by " + h.name + ": " + r.err
			switch {
			case r.status == 2:
				wrong = append(wrong, "spelled wrong: "+about)
			case want == "" && n.command == "projects clone" && r.status != 0:
				wrong = append(wrong, "the next command needs it: "+about)
			case want == "" && slices.Contains(refusals(), problem.Code):
				wrong = append(wrong, "refused: "+about)
			case want != "" && (r.status != 1 || problem.Code != want):
				wrong = append(wrong, "not "+want+": "+about)
			}
		}
	}
	require.Empty(t, wrong)
}
