package docstest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/testkit/docstest"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// inbox is a server of the reader's that takes everything, and keeps the last request.
type inbox struct {
	*httptest.Server

	mu     sync.Mutex
	header http.Header
	body   string
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		in.mu.Lock()
		in.header, in.body = r.Header.Clone(), string(body)
		in.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) last() (http.Header, string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.header, in.body
}

// auth0Shop is a project with one user, of Auth0, who has changed, and with examples that
// lead to the reader's own server.
func auth0Shop(t *testing.T, in *inbox) *scene {
	t.Helper()
	s := newScene(t, "")
	examples, err := filepath.Glob(filepath.Join(s.dir, "docs", "destinations", "examples", "*.json"))
	require.NoError(t, err)
	for _, file := range examples {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		text = regexp.MustCompile(`https://\w+\.example\.com`).ReplaceAll(text, []byte(in.URL))
		require.NoError(t, os.WriteFile(file, text, 0o600))
	}
	s.shop()
	const secret = "a long random text for this test"
	url := s.put("auth0", map[string]any{"credentials": map[string]string{"webhook_signing_secret": secret}})
	s.deliver(url, secret, auth0Event("evt_1", demoprovider.Auth0ID(3)))
	s.deliver(url, secret, strings.NewReplacer("user.created", "user.updated", "ada@", "countess@", `"updated_at": "2026-03-01`, `"updated_at": "2026-03-02`).
		Replace(auth0Event("evt_2", demoprovider.Auth0ID(3))))
	s.count(2, `SELECT count(*) FROM capydb_auth.user_changes`)
	return s
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	walk{
		file: "docs/destinations/webhook.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			return auth0Shop(t, in)
		},
		blocks: map[string]step{
			`{"id", "type": "user.updated", "change_id", "changed": ["email"], "user": {…}, "before": {…} or null,`: {
				untested: "it names what expressions see; the tests of internal/destination run expressions over all of it",
			},
			"POST /webhooks/authsync": {instead: func(s *scene, shown string) {
				s.hidden("authsync destinations replay shop app --all")
				waittest.Until(s.t, func() bool { header, _ := in.last(); return header != nil })
				header, _ := in.last()
				for line := range strings.Lines(shown) {
					if name, _, found := strings.Cut(line, ": "); found {
						require.Contains(s.t, header, http.CanonicalHeaderKey(name))
					}
				}
			}},
			`{"type": "user.updated", "timestamp": "2026-05-04T10:20:30Z",`: {instead: func(s *scene, shown string) {
				_, body := in.last()
				for _, name := range regexp.MustCompile(`"(\w+)":`).FindAllString(shown, -1) {
					require.Contains(s.t, body, name)
				}
			}},
			`import express from "express";`:                 {instead: (*scene).receiveInNode},
			`import svix "github.com/svix/svix-webhooks/go"`: {instead: (*scene).compile},
		},
		paste: func(*scene) []string { return []string{"auth0|65f2…", demoprovider.Auth0ID(3)} },
	}.run(t)
}

// receiveInNode runs the receiver of the page and delivers to it.
func (s *scene) receiveInNode(program string) {
	s.t.Helper()
	listener := httptest.NewServer(nil) // finds a free port
	address := strings.TrimPrefix(listener.URL, "http://127.0.0.1:")
	listener.Close()
	out := s.hidden("authsync destinations create shop node --type webhook --url http://127.0.0.1:" + address + "/webhooks/authsync --since beginning")
	secret := regexp.MustCompile(`whsec_\S+`).FindString(out)
	require.NotEmpty(s.t, secret, out)
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "receiver.js"), []byte(strings.Replace(program, "3000", address, 1)), 0o600))
	receiver := s.startNode(s.env("AUTHSYNC_WEBHOOK_SECRET="+secret), "receiver.js", `
		globalThis.handleOnce = async (id, event) => { console.log(id, event.type, event.data.user.email); };
		await import("./receiver.mjs");`)
	waittest.Until(s.t, func() bool { return strings.Contains(receiver.Output(), "user.updated countess@example.com") })
	receiver.Interrupt()
	waittest.Receive(s.t, receiver.Done())
}

// compile builds a Go program around the lines of a page.
func (s *scene) compile(lines string) {
	s.t.Helper()
	first, rest, _ := strings.Cut(lines, "\n")
	program := "package main\n\nimport (\n\t\"context\"\n\t\"io\"\n\t\"log\"\n\t\"net/http\"\n\t\"os\"\n\n\t" + strings.TrimPrefix(first, "import ") +
		"\n)\n\nfunc handleOnce(context.Context, string, []byte) error { return nil }\n\nfunc main() {\n" + rest + "\n}\n"
	dir := filepath.Join(s.stage.clone, "internal", "testkit", "docstest", "example")
	require.NoError(s.t, os.MkdirAll(dir, 0o750))
	require.NoError(s.t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600))
	vet := exec.CommandContext(s.t.Context(), "go", "vet", "./internal/testkit/docstest/example")
	vet.Dir, vet.Env = s.stage.clone, environment()
	out, err := vet.CombinedOutput()
	require.NoError(s.t, err, "%s", out)
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	excerpt := func(name string) func(*scene, string) {
		return func(s *scene, shown string) {
			s.t.Helper()
			text, err := os.ReadFile(filepath.Join(root, "docs", "destinations", "examples", name))
			require.NoError(s.t, err)
			blank := regexp.MustCompile(`\s+`)
			shown = regexp.MustCompile(`\{\s*…\s*\}`).ReplaceAllString(shown, "…")
			require.True(s.t, docstest.Matches(blank.ReplaceAllString(shown, ""), blank.ReplaceAllString(string(text), "")), "%s is not an excerpt of %s", shown, name)
		}
	}
	key := func(name string) func(*scene) {
		return func(s *scene) {
			require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte("a key of the other system"), 0o600))
		}
	}
	walk{
		file: "docs/destinations/http.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := auth0Shop(t, in)
			key("billing.key")(s)
			key("marketing.key")(s)
			return s
		},
		blocks: map[string]step{
			"{": {instead: func(s *scene, shown string) {
				switch {
				case strings.Contains(shown, "accounts"):
					excerpt("accounts.json")(s, shown)
				case strings.Contains(shown, "billing"):
					excerpt("billing.json")(s, shown)
				default:
					excerpt("segment.json")(s, shown)
				}
			}},
			`"headers": {"Content-Type": "application/x-www-form-urlencoded"},`: {instead: func(s *scene, shown string) {
				require.True(s.t, json.Valid([]byte("{"+shown+"}")), shown)
			}},
		},
		paste: func(*scene) []string { return []string{"auth0|65f2…", demoprovider.Auth0ID(3)} },
		end: func(s *scene) {
			waittest.Until(s.t, func() bool { _, body := in.last(); return strings.Contains(body, "countess@example.com") })
		},
	}.run(t)
}

func TestHubSpot(t *testing.T) {
	t.Parallel()
	portal := hubspottest.New(hubspottest.Config{Properties: map[string]hubspottest.Property{
		"authsync_user_id": {Unique: true}, "plan": {}, "user_status": {},
	}, CompanyProperties: map[string]hubspottest.Property{"authsync_organization_id": {Unique: true}}})
	var made string
	properties := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		made = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body)
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(properties.Close)
	var base string
	walk{
		file: "docs/destinations/hubspot.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			base = portal.Start(t)
			return clerk(t, demoprovider.NewAccount(4), func(c *demoprovider.Clerk) {
				c.Organizations.Add("Acme", []demoprovider.Member{{User: 2, Role: "admin"}})
			})
		},
		blocks: map[string]step{
			"export HUBSPOT_TOKEN=pat-…": {after: func(s *scene) {
				_, body, found := strings.Cut(made, "POST /crm/v3/properties/contacts Bearer "+hubspottest.Token+" ")
				require.True(s.t, found, made)
				require.True(s.t, json.Valid([]byte(body)), body)
				require.Contains(s.t, body, `"hasUniqueValue": true`)
			}},
			`curl https://api.hubapi.com/crm/v3/properties/companies \`: {after: func(s *scene) {
				require.Contains(s.t, made, "POST /crm/v3/properties/companies Bearer "+hubspottest.Token+" ")
			}},
			"{": {instead: func(s *scene, options string) {
				options = strings.Replace(options, "{", `{"base_url": "`+base+`",`, 1)
				require.True(s.t, json.Valid([]byte(options)), options)
				require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "crm.json"), []byte(options), 0o600))
			}},
		},
		paste: func(*scene) []string {
			return []string{"https://api.hubapi.com", properties.URL, "pat-…", hubspottest.Token, "user_2xKq9", demoprovider.ClerkID(2), "org_2xKq9", demoprovider.ClerkOrganizationID(0)}
		},
		end: func(s *scene) {
			var calls []hubspottest.Call
			waittest.Until(s.t, func() bool { // the replay sends each user, organization and membership
				calls = portal.Calls()
				return slices.ContainsFunc(calls, func(c hubspottest.Call) bool { return strings.Contains(string(c.Body), "mary.3@example.com") }) &&
					len(portal.Associations()) > 0
			}, "the calls so far: %+v", &calls)
			require.Empty(s.t, portal.Violations())
		},
	}.run(t)
}
