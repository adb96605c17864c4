// Package providertest is what every provider must pass: that it verifies what
// it signs and refuses everything else, and that what it decodes keeps the
// promises of provider.Event.
package providertest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Subject is a provider under test, with what differs from one to another.
type Subject struct {
	Provider provider.Provider
	Options  provider.Options
	// Secrets are three good secrets, all different.
	Secrets [3]provider.Secret
	// BadSecrets are malformed.
	BadSecrets []provider.Secret
	// Columns are keys of the user object for Sample.Set, and by them the
	// column that they set. All values are texts.
	Columns map[string]record.Column
	// Records are the types of records other than users that have a sample of their own.
	Records []Record
	// OtherTypes are types of the provider that are not mirrored.
	OtherTypes []string
	// SignsBody and SignsTime: the signature covers them.
	SignsBody, SignsTime bool
	// Tolerance is how far the signed time may be from now; 0 means 5 minutes.
	Tolerance time.Duration
	// Types are the provider's names of user.created, user.updated and user.deleted, by these; empty if they are the same.
	Types map[string]string
	// NoUpdatedAt: a user has no time of its last change. NoTime: neither has an event, so that the time of receipt is the clock.
	NoUpdatedAt, NoTime bool
	// HasEventID: samples carry the event's id.
	HasEventID bool
	// NoCreatedAt: a user has no time of its creation.
	NoCreatedAt bool
	// KeySet is of a provider whose requests are verified by public keys. Secrets then name three keys.
	KeySet *KeySet
	// Bridged: its events may come in envelopes of Amazon EventBridge.
	Bridged bool
}

// Record is a type of events about a record that is not a user.
type Record struct {
	EventType string
	Type      record.Type
	// Deletes: the event says that the record is gone; of a session, that it ended.
	Deletes bool
	// Role: it is about a role of a membership alone.
	Role bool
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Subject){
		"VerifiesOwnSignature":       verifiesOwnSignature,
		"EverySecretIsAccepted":      everySecretIsAccepted,
		"OtherSecretIsRefused":       otherSecretIsRefused,
		"MissingSignatureIsRefused":  missingSignatureIsRefused,
		"EveryHeaderIsCovered":       everyHeaderIsCovered,
		"TamperedBodyIsRefused":      tamperedBodyIsRefused,
		"OldAndFutureTimeAreRefused": oldAndFutureTimeAreRefused,
		"WithoutSecretNothingPasses": withoutSecretNothingPasses,
		"BadSecretIsNotInTheError":   badSecretIsNotInTheError,
		"OwnSampleIsApplied":         ownSampleIsApplied,
		"DeletionIsApplied":          deletionIsApplied,
		"NullClears":                 nullClears,
		"OwnRecordsAreApplied":       ownRecordsAreApplied,
		"RecordTypesAreAnOption":     recordTypesAreAnOption,
		"OtherTypesAreIgnored":       otherTypesAreIgnored,
		"BodyThatIsNotJSONFails":     bodyThatIsNotJSONFails,
		"BadOptionsAreRefused":       badOptionsAreRefused,
		"ExcludedFieldsAreNotStored": excludedFieldsAreNotStored,
		"NeededFieldsStay":           neededFieldsStay,
		"EnvelopesAreTakenOff":       envelopesAreTakenOff,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func (s Subject) credentials(secrets ...provider.Secret) provider.Credentials {
	return provider.Credentials{WebhookSigningSecret: secrets}
}

// typ is the provider's name of a type.
func (s Subject) typ(name string) string { return cmp.Or(s.Types[name], name) }

func (s Subject) sign(t *testing.T, sample provider.Sample, secret provider.Secret) (http.Header, []byte) {
	t.Helper()
	sample.Type = s.typ(sample.Type)
	if s.KeySet != nil {
		return s.KeySet.Sign(t, sample, s.Options, secret)
	}
	header, body, err := s.Provider.Sign(sample, s.credentials(secret), s.Options, ReceivedAt())
	require.NoError(t, err)
	require.Equal(t, "application/json", header.Get("Content-Type"))
	return header, body
}

func (s Subject) verifier(t *testing.T, secrets ...provider.Secret) provider.Verifier {
	t.Helper()
	v, err := s.newVerifier(s.Options, secrets...)
	require.NoError(t, err)
	return v
}

// newVerifier makes a verifier that accepts what is signed with one of the secrets, or with the keys of these names.
func (s Subject) newVerifier(o provider.Options, secrets ...provider.Secret) (provider.Verifier, error) {
	if s.KeySet == nil {
		return s.Provider.NewVerifier(s.credentials(secrets...), o)
	}
	v, err := s.Provider.NewVerifier(provider.Credentials{}, o)
	if err != nil {
		return nil, err
	}
	return s.KeySet.with(v, secrets), nil
}

// receive verifies a sample and decodes what is stored of it, as receiver and applier do.
func (s Subject) receive(t *testing.T, sample provider.Sample) provider.Event {
	t.Helper()
	header, body := s.sign(t, sample, s.Secrets[0])
	v := s.verifier(t, s.Secrets[0])
	proof, err := v.Verify(header, body, ReceivedAt())
	require.NoError(t, err)
	require.NoError(t, v.ValidBody(body))
	stored, _ := v.Redact(body)
	events := s.Provider.Decode(provider.Message{MessageID: proof.MessageID, ReceivedAt: ReceivedAt(), Body: stored}, s.Options)
	RequireValid(t, events)
	require.Len(t, events, 1)
	return events[0]
}

func ownSampleIsApplied(t *testing.T, s Subject) {
	t.Helper()
	for _, typ := range []string{"user.created", "user.updated"} {
		set := make(map[string]any)
		for key := range s.Columns {
			set[key] = "value-of-" + key
		}
		at := ReceivedAt().Add(-3 * time.Second)
		e := s.receive(t, provider.Sample{Type: typ, ID: "event-1", UserID: "user-1", Set: set, At: at})
		require.Equal(t, provider.Apply, e.Verdict)
		require.Empty(t, e.Reason)
		if s.HasEventID {
			require.Equal(t, "event-1", e.ID)
		}
		require.Equal(t, s.typ(typ), e.Type)
		require.Equal(t, "user-1", e.UserID)
		if s.NoTime {
			at = ReceivedAt()
		}
		require.Equal(t, at, e.At)
		require.Nil(t, e.Fields[record.DeletedAt])
		for key, column := range s.Columns {
			require.NotNil(t, e.Fields[column], column)
			require.Equal(t, "value-of-"+key, *e.Fields[column])
		}
		if !s.NoCreatedAt {
			require.NotNil(t, e.Fields[record.CreatedAt])
		}
		if !s.NoUpdatedAt && !s.NoTime {
			require.NotNil(t, e.Fields[record.UpdatedAt])
		}
		require.Contains(t, string(e.Raw), "user-1")
	}
}

func deletionIsApplied(t *testing.T, s Subject) {
	t.Helper()
	at := ReceivedAt().Add(-3 * time.Second)
	e := s.receive(t, provider.Sample{Type: "user.deleted", UserID: "user-1", At: at})
	require.Equal(t, provider.Apply, e.Verdict)
	require.NotNil(t, e.Fields[record.DeletedAt])
	require.False(t, e.DeletedClock.Before(at))
	require.True(t, e.At.Before(at), "the profile of a deletion is from before it, if there is one")
}

func nullClears(t *testing.T, s Subject) {
	t.Helper()
	set := make(map[string]any)
	for key := range s.Columns {
		set[key] = nil
	}
	set["name"] = nil
	e := s.receive(t, provider.Sample{Type: "user.updated", Set: set})
	require.Equal(t, provider.Apply, e.Verdict)
	for _, column := range s.Columns {
		value, says := e.Fields[column]
		require.True(t, says, column)
		require.Nil(t, value, column)
	}
}

func ownRecordsAreApplied(t *testing.T, s Subject) {
	t.Helper()
	s.Options.RecordTypes = everything()
	at := ReceivedAt() // also the time of signing, which is the envelope's in one format
	for _, r := range s.Records {
		e := s.receive(t, provider.Sample{Type: r.EventType, UserID: "user-1", OrganizationID: "org-1", At: at})
		require.Equal(t, provider.Apply, e.Verdict, r.EventType)
		require.Empty(t, e.Reason, r.EventType)
		require.Equal(t, r.EventType, e.Type)
		require.Equal(t, r.Type, e.RecordType, r.EventType)
		switch r.Type {
		case record.Organization, record.Invitation:
			require.Equal(t, "org-1", e.OrganizationID, r.EventType)
		case record.Membership:
			require.Equal(t, record.MembershipID("org-1", "user-1"), e.Record().ID, r.EventType)
		case record.User, record.Session:
			require.Equal(t, "user-1", e.UserID, r.EventType)
		}
		require.Equal(t, r.Role, e.RoleAdded+e.RoleRemoved != "", r.EventType)
		if r.Deletes {
			require.False(t, e.DeletedClock.Before(at), r.EventType)
			require.False(t, e.At.After(at), "%s: what a deletion repeats is not newer than it", r.EventType)
		} else {
			require.Equal(t, at, e.At, r.EventType)
		}
	}
}

func recordTypesAreAnOption(t *testing.T, s Subject) {
	t.Helper()
	for _, r := range s.Records {
		for _, c := range []struct {
			given   []string
			mirrors bool
			and     string // what option record_types holds beside what is missing
		}{
			{nil, r.Type != record.Session, `"users","organizations"`},
			{[]string{"users"}, false, `"users"`},
			{[]string{"organizations", "users"}, r.Type != record.Session, `"organizations","users"`},
			{[]string{"users", "sessions"}, r.Type == record.Session, `"users","sessions"`},
			{everything(), true, ""},
		} {
			s.Options.RecordTypes = c.given
			e := s.receive(t, provider.Sample{Type: r.EventType})
			if c.mirrors {
				require.Equal(t, provider.Apply, e.Verdict, "%s %v", r.EventType, c.given)
				continue
			}
			group := "organizations"
			if r.Type == record.Session {
				group = "sessions"
			}
			require.Equal(t, provider.Ignore, e.Verdict, "%s %v", r.EventType, c.given)
			require.Equal(t, r.Type, e.RecordType)
			require.Equal(t, fmt.Sprintf(`%s are not mirrored: to mirror them, set options.record_types to [%s,"%[1]s"]`, group, c.and), e.Reason)
		}
		s.Options.RecordTypes = []string{"users"}
		require.Equal(t, provider.Apply, s.receive(t, provider.Sample{Type: "user.updated"}).Verdict)
	}
}

func otherTypesAreIgnored(t *testing.T, s Subject) {
	t.Helper()
	for _, typ := range append(s.OtherTypes, "planet.colonised", "user.", "USER.CREATED") {
		e := s.receive(t, provider.Sample{Type: typ})
		require.Equal(t, provider.Ignore, e.Verdict, typ)
		require.Equal(t, typ, e.Type)
		require.NotEmpty(t, e.Reason)
	}
}

func bodyThatIsNotJSONFails(t *testing.T, s Subject) {
	t.Helper()
	v := s.verifier(t, s.Secrets[0])
	bodies := map[string]string{
		"":                           "empty",
		"user.created":               "not JSON",
		`{"type":`:                   "not JSON",
		`{"type":"user.created"}}`:   "not JSON",
		"42":                         "a number",
		`"text"`:                     "a text",
		"null":                       "null",
		strings.Repeat("[", 200_000): "deeper than 10000 levels",
	}
	for body, want := range bodies {
		require.ErrorContains(t, v.ValidBody(s.wire([]byte(body))), want)
		events := s.Provider.Decode(provider.Message{ReceivedAt: ReceivedAt(), Body: []byte(body)}, s.Options)
		RequireValid(t, events)
		require.Len(t, events, 1)
		require.Equal(t, provider.Fail, events[0].Verdict)
		require.Contains(t, events[0].Reason, want)
	}
	for _, body := range []string{"{}", `[{}]`, ` {"data":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "} "} {
		require.True(t, json.Valid([]byte(body)))
		require.NoError(t, v.ValidBody(s.wire([]byte(body))))
		events := s.Provider.Decode(provider.Message{ReceivedAt: ReceivedAt(), Body: []byte(body)}, s.Options)
		RequireValid(t, events)
		require.Equal(t, provider.Fail, events[0].Verdict)
	}
}

func badOptionsAreRefused(t *testing.T, s Subject) {
	t.Helper()
	o := s.Options
	o.AbsentFields = "drop"
	_, err := s.newVerifier(o, s.Secrets[0])
	require.ErrorContains(t, err, "absent_fields")
	for _, types := range [][]string{{"users", "teams"}, {"organizations"}, {"users", ""}, {"user"}} {
		o := s.Options
		o.RecordTypes = types
		_, err := s.newVerifier(o, s.Secrets[0])
		require.ErrorContains(t, err, "options.record_types", types)
	}
}
