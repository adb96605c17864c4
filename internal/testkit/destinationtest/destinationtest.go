package destinationtest

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
)

// Suite describes a type.
type Suite struct {
	// Type makes the destinations, with an attempt time of AttemptTime.
	Type        destination.Type
	AttemptTime time.Duration
	// Config is a valid configuration of a destination at a URL, with every secret that the type
	// takes, each of at least 8 bytes.
	Config func(url string) destination.Config
	// Server is the other side when all is well; nil: it answers every request with 200 and {}.
	Server func() http.Handler
	// IDHeader is the header that carries the message's id; empty: there is none.
	IDHeader string
	// RecordType is the type of the records that messages are about: user, organization or membership; empty: user.
	RecordType record.Type
	// Invalid are changes to the configuration that it must refuse, by what the answer says.
	Invalid []Invalid
}

// Invalid is a configuration that a person has to change.
type Invalid struct {
	Name   string
	Change func(*destination.Config)
	// Says is what the answer must hold: what is wrong, and what to give instead.
	Says []string
}

// Refuses is a configuration that must be refused, with an answer that holds all that says lists.
func Refuses(name string, change func(*destination.Config), says ...string) Invalid {
	return Invalid{Name: name, Change: change, Says: says}
}

// Test runs the suite.
func (s Suite) Test(t *testing.T) {
	t.Helper()
	if s.Server == nil {
		s.Server = func() http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })
		}
	}
	t.Run("Type", func(t *testing.T) { t.Parallel(); s.testType(t) })
	t.Run("Invalid", func(t *testing.T) { t.Parallel(); s.testInvalid(t) })
	t.Run("Preview", func(t *testing.T) { t.Parallel(); s.testPreview(t) })
	t.Run("Send", func(t *testing.T) { t.Parallel(); s.testSend(t) })
	t.Run("Sent", func(t *testing.T) { t.Parallel(); s.testSent(t) })
	t.Run("Faults", func(t *testing.T) { t.Parallel(); s.testFaults(t) })
	t.Run("Limits", func(t *testing.T) { t.Parallel(); s.testLimits(t) })
}

// config is the configuration, with the ids of tests.
func (s Suite) config(url string) destination.Config {
	c := s.Config(url)
	c.ID, c.ProjectID, c.Name = DestinationID(), ProjectID(), "followed"
	return c
}

// messages are as many as one Send takes, though not more than five, each about another record.
func (s Suite) messages(d destination.Destination) []destination.Message {
	messages := make([]destination.Message, min(d.Capabilities().Batch, 5))
	for i := range messages {
		id := "user_" + strings.Repeat("x", i+1)
		messages[i] = s.about(id, int64(i+1), record.Created, nil, Row{"email": id + "@example.com"})
	}
	return messages
}

// about is the nth message, about a user, or about an organization or a membership of the user; see Message.
func (s Suite) about(userID string, n int64, kind string, before, after Row) destination.Message {
	ofType := User
	switch s.RecordType {
	case record.Organization:
		ofType = Organization
	case record.Membership:
		ofType = Membership
	default:
	}
	ids := Row{"id": userID}
	if s.RecordType == record.Organization || s.RecordType == record.Membership {
		ids = Row{"id": strings.Replace(userID, "user", "org", 1), "user_id": userID, "organization_id": "org_2xKq9"}
	}
	row := func(set Row) Row {
		if set == nil {
			return nil
		}
		set = maps.Clone(set)
		maps.Copy(set, ids)
		return ofType(set)
	}
	m := Message(n, destination.EventType(record.User, kind), row(before), row(after), "id", "email", "raw")
	if s.RecordType != "" {
		m.RecordType, m.EventType = s.RecordType, destination.EventType(s.RecordType, kind)
	}
	if s.RecordType == record.Membership {
		m.RecordID, m.Organization = record.MembershipID("org_2xKq9", userID), Organization(nil).JSON()
	}
	return m
}

// minSecret is the length from which a secret is told from other text.
const minSecret = 8

// mustHide fails if a text of ours holds a secret.
func mustHide(t *testing.T, c destination.Config, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for name, secret := range c.Secrets.Values {
			if len(secret) >= minSecret { // shorter ones are what is wrong with a configuration
				require.NotContains(t, text, secret, "the secret %s shows", name)
			}
		}
		for name, old := range c.Secrets.Old {
			require.NotContains(t, text, old.Value, "the old secret %s shows", name)
		}
	}
}

func (s Suite) testType(t *testing.T) {
	t.Helper()
	require.NotEmpty(t, s.Type.Name())
	require.Equal(t, strings.ToLower(s.Type.Name()), s.Type.Name())
	d, err := s.Type.New(s.config("https://app.example.com"), destination.Deps{})
	require.NoError(t, err, "nothing but a configuration is needed to check it")
	capabilities := d.Capabilities()
	require.GreaterOrEqual(t, capabilities.Batch, 1)
	require.GreaterOrEqual(t, capabilities.Parallel, 1)
	require.Equal(t, len(capabilities.Limits) > 0, capabilities.Account != "", "limits belong to an account")
	for class, limit := range capabilities.Limits {
		require.NotEmpty(t, class)
		require.True(t, limit.Requests > 0 && limit.Per > 0 || limit.Daily > 0, "%s limits nothing", class)
	}
	mustHide(t, s.config(""), capabilities.Account)
	for name, secret := range s.config("").Secrets.Values {
		require.GreaterOrEqual(t, len(secret), minSecret, "the suite needs a longer secret %s", name)
	}

	other := s.config("https://app.example.com")
	other.ID = uuid.New()
	_, err = s.Type.New(other, destination.Deps{})
	require.NoError(t, err)

	name, value, ok := s.Type.NewSecret()
	if !ok {
		return
	}
	require.Contains(t, s.Type.SecretNames(), name)
	_, second, _ := s.Type.NewSecret()
	require.NotEqual(t, value, second, "each destination has a secret of its own")
	made := s.config("https://app.example.com")
	made.Secrets.Values[name] = value
	_, err = s.Type.New(made, destination.Deps{})
	require.NoError(t, err, "it takes the secret that it makes")
}

func (s Suite) testInvalid(t *testing.T) {
	t.Helper()
	options := func(text string) func(*destination.Config) {
		return func(c *destination.Config) { c.Options = json.RawMessage(text) }
	}
	for _, c := range append([]Invalid{
		{"OptionsAreAList", options(`[]`), []string{"options", "object"}},
		{"OptionsAreNoJSON", options(`{"url":`), []string{"options"}},
		{"UnknownOption", options(`{"colour_of_the_envelope": "red"}`), []string{"colour_of_the_envelope", "there is"}},
	}, s.Invalid...) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			config := s.config("https://app.example.com")
			c.Change(&config)
			_, err := s.Type.New(config, destination.Deps{})
			mustBeInvalid(t, config, err, c.Says...)
		})
	}
	t.Run("URLIsNotAllowed", func(t *testing.T) {
		t.Parallel()
		config := s.config("https://app.example.com")
		_, err := s.Type.New(config, destination.Deps{CheckURL: func(string) error { return blocked{} }})
		mustBeInvalid(t, config, err, blocked{}.Error())
	})
}

func mustBeInvalid(t *testing.T, c destination.Config, err error, says ...string) {
	t.Helper()
	require.True(t, fault.Is(err, fault.Invalid), err)
	for _, part := range says {
		require.ErrorContains(t, err, part)
	}
	require.LessOrEqual(t, len(err.Error()), 1000)
	mustHide(t, c, err.Error())
}

// blocked is an error of a client that may not connect.
type blocked struct{}

func (blocked) Error() string {
	return "https://app.example.com is a private address; give a public one"
}
func (blocked) Refused() bool { return true }

func (s Suite) testPreview(t *testing.T) {
	t.Helper()
	config := s.config("https://app.example.com")
	d, err := s.Type.New(config, destination.Deps{})
	require.NoError(t, err)
	gone := Row{"deleted_at": "2026-05-04T10:20:30+00:00"}
	for _, m := range []destination.Message{
		s.about("user_1", 1, record.Created, nil, Row{}), s.about("user_1", 2, record.Updated, Row{"email": "ada@old.example", "name": "Old", "role": "old"}, Row{}),
		s.about("user_1", 3, record.Deleted, Row{}, gone), s.about("user_1", 4, record.Restored, gone, Row{}),
	} {
		first, err := d.Preview(t.Context(), m)
		require.NoError(t, err)
		for _, r := range first {
			require.NotEmpty(t, r.Method)
			require.Contains(t, r.URL, "https://app.example.com")
			require.True(t, r.Body == nil || json.Valid(r.Body), "a body is shown as JSON")
		}
		shown, err := json.Marshal(first) //nolint:musttag // to look for secrets in all fields
		require.NoError(t, err)
		mustHide(t, config, string(shown))
		m.Attempt = 7
		again, err := d.Preview(t.Context(), m)
		require.NoError(t, err)
		require.Equal(t, first, again, "every attempt is the same request")
	}
}
