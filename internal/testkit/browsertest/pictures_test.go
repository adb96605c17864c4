package browsertest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const (
	backfillStep = "Read the users who exist already"
	readUsers    = `//button[.="Store and read users"]`
)

// withUsers has a stand-in for Clerk, with so many users, which the project can read once it has the key.
func (s *site) withUsers(of project.Project, users int) {
	s.t.Helper()
	base := userapitest.Start(s.t, demoprovider.NewClerk(demoprovider.NewAccount(users), time.Now))
	options, err := json.Marshal(map[string]any{"base_url": base, "record_types": []string{"users", "organizations", "sessions"}})
	require.NoError(s.t, err)
	_, err = s.Store.PutIntegration(s.t.Context(), of.ID, provider.Clerk, nil, options)
	require.NoError(s.t, err)
}

// Who stores the key that users are read with sees how far the reading is, and then the users.
func TestExistingUsersAreRead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	s.withUsers(shop, 700)
	b := s.admin()
	b.open(pathOf(shop.ID.String(), "integrations", "clerk"))
	b.until(stepIs(backfillStep, "optional"))
	b.fill(`[name="credential.secret_key"]`, demoprovider.ClerkKey)
	b.press(readUsers)
	stays := b.stays()
	b.until(stepIs(backfillStep, "done"))
	b.until(`document.querySelector("#steps-section").innerText.includes("700 records read.")`)
	b.until(stays)
	b.press(`//nav//a[.="Users"]`)
	require.Equal(t, 50, get[int](b, `document.querySelectorAll("tbody tr").length`))
	b.press(`//a[.="Next page"]`)
	b.press(`//tbody//a`)
	require.Contains(t, b.words("h1"), "user_2aFk")
	b.press(`//button[.="Refresh from the provider"]`)
	require.NotEmpty(t, b.words(".notice"))
}

// The pages that the docs show. UPDATE_SCREENSHOTS=1 takes the pictures, as make docs/screenshots does.
func TestPictures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	id := shop.ID.String()
	s.withUsers(shop, 700)
	s.destination("shop", "crm")
	s.trouble(shop)
	b := s.admin()
	b.open(pathOf(id, "integrations", "clerk"))
	b.fill(`[name="credential.secret_key"]`, demoprovider.ClerkKey)
	b.press(readUsers)
	b.until(stepIs(backfillStep, "done"))
	for _, picture := range []struct{ name, theme, path string }{
		{"home", "dark", "/"},
		{"connect", "light", pathOf(id, "integrations", "clerk")},
		{"events", "light", pathOf(id, "events")},
		{"record", "light", pathOf(id, "records", "user", "user_ada")},
	} {
		b.open(picture.path)
		b.theme(picture.theme)
		var png []byte
		b.do(chromedp.CaptureScreenshot(&png))
		if os.Getenv("UPDATE_SCREENSHOTS") != "" {
			require.NoError(t, os.WriteFile(filepath.Join(root, "docs", "images", picture.name+".png"), png, 0o644))
		}
	}
}

// destination is one that takes everything.
func (s *site) destination(of, name string) {
	s.t.Helper()
	s.destinationThat(of, name, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
}

// destinationThat is a destination that answers like this.
func (s *site) destinationThat(of, name string, answers http.HandlerFunc) {
	s.t.Helper()
	receiver := httptest.NewServer(answers)
	s.t.Cleanup(receiver.Close)
	c := client.New(s.URL, config.Secret(s.Key(s.t, project.KeyInput{Name: "setup"})))
	defer c.Close()
	require.NoError(s.t, c.Do(s.t.Context(), http.MethodPost, "/projects/"+of+"/destinations",
		map[string]any{"name": name, "type": "webhook", "options": map[string]any{"url": receiver.URL}}, nil))
}

// trouble has a request be rejected, and users come, one of whom fails.
func (s *site) trouble(of project.Project) {
	s.t.Helper()
	run(s.t, s.Mirror, `CREATE FUNCTION public.one_trial() RETURNS trigger LANGUAGE plpgsql AS $fn$
		BEGIN
			IF NEW.email LIKE '%@example.org' THEN RAISE EXCEPTION 'there was a trial for this domain already'; END IF;
			RETURN NEW;
		END $fn$;
		CREATE TRIGGER one_trial BEFORE INSERT ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION public.one_trial()`)
	at := time.Now().Add(-20 * time.Minute).Truncate(time.Second)
	user := func(event, id, first, last, email string, minutes int) provider.Sample {
		return provider.Sample{Type: event, ID: fmt.Sprintf("msg_%s_%d", first, minutes), UserID: id, At: at.Add(time.Duration(minutes) * time.Minute), Set: map[string]any{
			"first_name": first, "last_name": last, "username": strings.ToLower(first), "email": email,
		}}
	}
	require.Equal(s.t, http.StatusUnauthorized, s.Try(s.t, of.ID.String(), provider.Clerk, provider.Sample{Type: "user.updated", UserID: "user_ada"}, "whsec_YW5vdGhlciBzaWduaW5nIHNlY3JldCBlbnRpcmVseQ=="))
	waittest.Until(s.t, func() bool {
		var rejected int
		require.NoError(s.t, s.Control.QueryRow(s.t.Context(), `SELECT count(*) FROM authsync.rejected_requests`).Scan(&rejected))
		return rejected > 0
	})
	s.clerk(of,
		user("user.created", "user_ada", "Ada", "Byron", "ada@example.com", 0),
		user("user.created", "user_grace", "Grace", "Hopper", "grace@example.com", 2),
		user("user.created", "user_charles", "Charles", "Babbage", "charles@example.org", 3),
		provider.Sample{Type: "organization.created", OrganizationID: "org_analytical", At: at.Add(4 * time.Minute), Set: map[string]any{"name": "Analytical Engines"}},
		provider.Sample{Type: "organizationMembership.created", OrganizationID: "org_analytical", UserID: "user_ada", At: at.Add(5 * time.Minute)},
		user("user.updated", "user_ada", "Ada", "Lovelace", "ada@example.com", 6),
		user("user.updated", "user_ada", "Ada", "Lovelace", "ada.lovelace@example.com", 8),
		provider.Sample{Type: "user.deleted", UserID: "user_grace", At: at.Add(9 * time.Minute)},
		provider.Sample{Type: "session.created", UserID: "user_ada", At: at.Add(10 * time.Minute)},
	)
}
