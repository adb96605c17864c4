package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/record"
)

// Secret is a string that does not print in logs, errors or tables. Only JSON reveals it, and only
// the sealed store uses that.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Secrets is one or more secrets that are valid at the same time, so that a rotation loses nothing.
// In JSON it is a string or an array of strings.
type Secrets []Secret

// UnmarshalJSON takes a string or an array of strings.
func (s *Secrets) UnmarshalJSON(b []byte) error {
	var one Secret
	if json.Unmarshal(b, &one) == nil {
		*s = Secrets{one}
		return nil
	}
	var many []Secret
	if json.Unmarshal(b, &many) != nil {
		return errors.New("must be a string or an array of strings")
	}
	*s = many
	return nil
}

// Authorization is how an Auth0 event stream authenticates, in Auth0's own terms
// (webhook_authorization of an event stream's destination).
type Authorization struct {
	Method      string `json:"method"` // bearer, basic or custom_header
	Token       Secret `json:"token,omitempty"`
	Username    string `json:"username,omitempty"`
	Password    Secret `json:"password,omitempty"`
	HeaderKey   string `json:"header_key,omitempty"`
	HeaderValue Secret `json:"header_value,omitempty"`
}

// Credentials are all secrets of an integration. Each provider's package documents which it uses.
type Credentials struct {
	// WebhookSigningSecret verifies messages. All of them are accepted; the first is used for
	// signing.
	WebhookSigningSecret Secrets `json:"webhook_signing_secret,omitempty"`
	// WebhookAuthorization is Auth0's alternative to a plain secret.
	WebhookAuthorization *Authorization `json:"webhook_authorization,omitempty"`
	// SecretKey is Clerk's API key (sk_live_…, sk_test_…).
	SecretKey Secret `json:"secret_key,omitempty"`
	// Domain, ClientID and ClientSecret identify an Auth0 application with access to the Management
	// API. The domain is a bare host name.
	Domain       string `json:"domain,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret Secret `json:"client_secret,omitempty"`
	// SessionToken is the session token of a Better Auth user who may list users.
	SessionToken Secret `json:"session_token,omitempty"`
	// DatabaseURL is the database with the tables of option source; by default the project's own
	// database.
	DatabaseURL Secret `json:"database_url,omitempty"`
}

// LogValue hides the secrets from slog, whose JSON handler would print them.
func (s Secrets) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%d secrets", len(s))) }

// LogValue hides the secrets from slog, whose JSON handler would print them.
func (a Authorization) LogValue() slog.Value { return slog.StringValue("method " + a.Method) }

// LogValue hides the secrets from slog, whose JSON handler would print them.
func (Credentials) LogValue() slog.Value { return slog.StringValue("***") }

// AbsentFields is the meaning of a key that is missing from a user object.
type AbsentFields string

// The values of option absent_fields.
const (
	// KeepAbsent means that a missing key is unchanged. The default.
	KeepAbsent AbsentFields = "keep"
	// ClearAbsent means that the provider sends whole profiles, so a missing key was cleared. Never
	// applied to a deletion.
	ClearAbsent AbsentFields = "clear"
)

// Options are the non-secret settings of an integration.
type Options struct {
	AbsentFields AbsentFields `json:"absent_fields,omitempty"`
	// SignatureFormats are the accepted signature formats of Better Auth, out of
	// "standard_webhooks", "webhook_signature" and "better_auth_signature"; empty accepts the first
	// two. A recorded request in the last one can be replayed.
	SignatureFormats []string `json:"signature_formats,omitempty"`
	// BaseURL is the address of the provider's API. Better Auth requires it: it is the customer's
	// server. For the others it replaces the provider's own address, for example with a proxy.
	BaseURL string `json:"base_url,omitempty"`
	// Provision lets authsync set up the webhook at the provider by itself, with API credentials.
	Provision bool `json:"provision,omitempty"`
	// RecordTypes are the groups of record types that are mirrored: MirrorUsers, which must be there,
	// MirrorOrganizations and MirrorSessions. Empty means users and organizations.
	RecordTypes []string `json:"record_types,omitempty"`
	// Source are the tables with the users of a Better Auth server, which are read instead of its
	// admin API.
	Source *UserTables `json:"source,omitempty"`
	// Pull has authsync fetch the provider's events itself, so that the provider need not reach it.
	// Webhooks are accepted all the same.
	Pull bool `json:"pull,omitempty"`
	// Definition is that of a provider of the customer's own, as JSON; see package custom.
	Definition json.RawMessage `json:"definition,omitempty"`
	// Exclude are the fields that are never stored, by key ("last_ip", wherever it is) or by path ("user_metadata.ssn");
	// see ParseExcluded.
	Exclude []string `json:"exclude,omitempty"`
	// Reconcile schedules and limits the automatic comparison of the mirror with the provider.
	Reconcile *ReconcileOptions `json:"reconcile,omitempty"`
	// Heal allows changes at the provider that authsync makes by itself.
	Heal *HealOptions `json:"heal,omitempty"`
	// Silence overrides how long the provider may send nothing.
	Silence *SilenceOptions `json:"silence,omitempty"`
}

// The groups of record types, as in option record_types.
const (
	MirrorUsers = "users"
	// MirrorOrganizations are the organizations with their memberships and invitations.
	MirrorOrganizations = "organizations"
	MirrorSessions      = "sessions"
)

// Groups returns the groups that are mirrored.
func (o Options) Groups() []string {
	if len(o.RecordTypes) == 0 {
		return []string{MirrorUsers, MirrorOrganizations}
	}
	return slices.Clone(o.RecordTypes)
}

// Mirrors reports whether records of a type are mirrored, and to which group the type belongs.
func (o Options) Mirrors(t record.Type) (group string, mirrored bool) {
	switch t {
	case record.Organization, record.Membership, record.Invitation:
		return MirrorOrganizations, len(o.RecordTypes) == 0 || slices.Contains(o.RecordTypes, MirrorOrganizations)
	case record.Session:
		return MirrorSessions, slices.Contains(o.RecordTypes, MirrorSessions)
	case record.User:
	}
	return MirrorUsers, true
}

func (o Options) validateRecordTypes() error {
	for _, group := range o.RecordTypes {
		switch group {
		case MirrorUsers, MirrorOrganizations, MirrorSessions:
		default:
			return fmt.Errorf("options.record_types holds %.40q: it takes \"users\", \"organizations\" and \"sessions\"", group)
		}
	}
	if len(o.RecordTypes) > 0 && !slices.Contains(o.RecordTypes, MirrorUsers) {
		return errors.New("options.record_types lacks \"users\": users are always mirrored")
	}
	return nil
}

// ReconcileOptions are the settings of reconciles.
type ReconcileOptions struct {
	// Every is the interval of automatic reconciles: a number and h, d or w, such as "24h", or
	// Never; empty means the provider's default, if the credentials allow reading users.
	Every string `json:"every,omitempty"`
	// MaxDeletedPercent is the share of the mirror's users, in percent, above which a reconcile
	// deletes no orphaned users; nil means 5.
	MaxDeletedPercent *float64 `json:"max_deleted_percent,omitempty"`
}

// Never disables automatic reconciles, or the alarm about silence.
const Never = "never"

// HealOptions are the changes at the provider that authsync may make by itself. It always asks for failed deliveries, which
// changes nothing there, and reconciles after a gap.
type HealOptions struct {
	// Reenable enables a stream that the provider has disabled.
	Reenable bool `json:"reenable,omitempty"`
}

// SilenceOptions are the settings of the alarm about an integration that sends nothing.
type SilenceOptions struct {
	// After is how long nothing may come: a number and h, d or w, such as "6h", or Never; empty means what was learned.
	After string `json:"after,omitempty"`
}

func (o *SilenceOptions) validate() error {
	if o == nil || o.After == "" || o.After == Never || isInterval(o.After) {
		return nil
	}
	return fmt.Errorf("options.silence.after is %.40q: it takes a number and h, d or w, from \"1h\" to \"52w\", such as \"6h\", or \"never\"", o.After)
}

// isInterval reports whether a text is a number of hours, days or weeks, from an hour to a year.
func isInterval(text string) bool {
	hours, err := strconv.Atoi(text[:len(text)-1])
	switch text[len(text)-1] {
	case 'h':
	case 'd':
		hours *= 24
	case 'w':
		hours *= 24 * 7
	default:
		return false
	}
	return err == nil && hours >= 1 && hours <= 366*24 && text[0] != '+'
}

func (o *ReconcileOptions) validate() error {
	if o == nil {
		return nil
	}
	if o.Every != "" && o.Every != Never && !isInterval(o.Every) {
		return fmt.Errorf("options.reconcile.every is %.40q: it takes a number and h, d or w, from \"1h\" to \"52w\", such as \"24h\", or \"never\"", o.Every)
	}
	if p := o.MaxDeletedPercent; p != nil && (*p < 0 || *p > 100) {
		return fmt.Errorf("options.reconcile.max_deleted_percent is %g: it takes a number from 0 to 100", *p)
	}
	return nil
}

// UserTables locates a Better Auth server's users and sessions in PostgreSQL. Empty fields have
// Better Auth's own names.
type UserTables struct {
	// Schema of both tables; empty: public.
	Schema string `json:"schema,omitempty"`
	// UserTable; empty: user.
	UserTable string `json:"user_table,omitempty"`
	// SessionTable; empty: session, if it exists.
	SessionTable string `json:"session_table,omitempty"`
	// Columns maps fields of Better Auth to differently named columns of the user table:
	// {"emailVerified": "email_verified"}.
	Columns map[string]string `json:"columns,omitempty"`
	// SessionColumns does the same for the session table: userId and createdAt.
	SessionColumns map[string]string `json:"session_columns,omitempty"`
}

// SystemSchemaAdvice is the error for a schema that tables may not be read from.
const SystemSchemaAdvice = "options.source.schema is a schema of PostgreSQL's or of authsync's own: name that of the tables of your Better Auth server"

// IsSystemSchema reports whether a schema has no customer tables: catalogs, temporary tables, and
// authsync's own.
func IsSystemSchema(name string) bool {
	switch name {
	case "information_schema", "authsync", "capydb_auth":
		return true
	default:
		return strings.HasPrefix(name, "pg_") // PostgreSQL reserves the prefix
	}
}

// Validate checks the options that all providers share.
func (o Options) Validate() error {
	if err := errors.Join(o.validateRecordTypes(), o.Silence.validate()); err != nil {
		return err
	}
	if err := o.validateExclude(); err != nil {
		return err
	}
	switch o.AbsentFields {
	case "", KeepAbsent, ClearAbsent:
		return o.Reconcile.validate()
	default:
		return fmt.Errorf("options.absent_fields is %q: it takes \"keep\" (a missing key says nothing) or \"clear\" (a missing key was cleared)", o.AbsentFields)
	}
}
