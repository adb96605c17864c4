package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// Secret is a string that does not print: not in logs, errors or tables. JSON
// is the one way out, and only the sealed store takes it.
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

// Secrets is one or several secrets that are valid at once, so that a rotation
// loses nothing. In JSON it is a string or an array of strings.
type Secrets []Secret

// UnmarshalJSON accepts a string or an array of strings.
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

// Authorization is how an Auth0 event stream authenticates, in Auth0's own
// words (webhook_authorization of an event stream's destination).
type Authorization struct {
	Method      string `json:"method"` // bearer, basic or custom_header
	Token       Secret `json:"token,omitempty"`
	Username    string `json:"username,omitempty"`
	Password    Secret `json:"password,omitempty"`
	HeaderKey   string `json:"header_key,omitempty"`
	HeaderValue Secret `json:"header_value,omitempty"`
}

// Credentials are all secrets of an integration. A provider's package says
// which of them it takes.
type Credentials struct {
	// WebhookSigningSecret verifies deliveries. The first is the one to sign
	// with; all of them are accepted.
	WebhookSigningSecret Secrets `json:"webhook_signing_secret,omitempty"`
	// WebhookAuthorization is Auth0's alternative to a plain secret.
	WebhookAuthorization *Authorization `json:"webhook_authorization,omitempty"`
	// SecretKey is Clerk's API key (sk_live_…, sk_test_…).
	SecretKey Secret `json:"secret_key,omitempty"`
	// Domain, ClientID and ClientSecret are those of an Auth0 application that
	// may use the Management API. The domain is a bare host name.
	Domain       string `json:"domain,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret Secret `json:"client_secret,omitempty"`
	// SessionToken is the token of a session at a Better Auth server whose user
	// may list the users.
	SessionToken Secret `json:"session_token,omitempty"`
	// DatabaseURL opens the database that holds the tables of option source.
	// Without it they are in the project's own database.
	DatabaseURL Secret `json:"database_url,omitempty"`
}

// LogValue hides the secrets from slog, whose JSON handler would print them.
func (s Secrets) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%d secrets", len(s))) }

// LogValue hides the secrets from slog, whose JSON handler would print them.
func (a Authorization) LogValue() slog.Value { return slog.StringValue("method " + a.Method) }

// LogValue hides the secrets from slog, whose JSON handler would print them.
func (Credentials) LogValue() slog.Value { return slog.StringValue("***") }

// AbsentFields says what a key means that is missing from a user object.
type AbsentFields string

// The values of option absent_fields.
const (
	// KeepAbsent: a missing key says nothing. The default.
	KeepAbsent AbsentFields = "keep"
	// ClearAbsent: the provider sends whole profiles, so a missing key was
	// cleared. Never applied to a deletion.
	ClearAbsent AbsentFields = "clear"
)

// Options are the settings of an integration that are no secret.
type Options struct {
	AbsentFields AbsentFields `json:"absent_fields,omitempty"`
	// SignatureFormats are the signature formats accepted of Better Auth, some of
	// "standard_webhooks", "webhook_signature" and "better_auth_signature"; empty
	// accepts the first two. A recorded request in the last one can be sent again.
	SignatureFormats []string `json:"signature_formats,omitempty"`
	// BaseURL is where the provider's API is reached. Better Auth needs it: it
	// is the address of the customer's server. For the others it replaces the
	// provider's own address, as a proxy does.
	BaseURL string `json:"base_url,omitempty"`
	// Source are the tables in which a Better Auth server keeps its users; they
	// are read instead of its admin API.
	Source *UserTables `json:"source,omitempty"`
	// Reconcile says how often the mirror is compared with the provider by itself,
	// and how far that may go.
	Reconcile *ReconcileOptions `json:"reconcile,omitempty"`
}

// ReconcileOptions are the settings of reconciles.
type ReconcileOptions struct {
	// Every is the time between two that start by themselves: a number and h, d or
	// w, such as "24h", or Never; empty: as the provider's default says, where the
	// credentials allow reading users.
	Every string `json:"every,omitempty"`
	// MaxDeletedPercent is the share of the mirror's users, in percent, beyond which
	// a reconcile deletes none of those that the provider does not have; nil: 5.
	MaxDeletedPercent *float64 `json:"max_deleted_percent,omitempty"`
}

// Never is the schedule of reconciles that do not start by themselves.
const Never = "never"

func (o *ReconcileOptions) validate() error {
	if o == nil {
		return nil
	}
	if o.Every != "" && o.Every != Never {
		hours, err := strconv.Atoi(o.Every[:len(o.Every)-1])
		switch o.Every[len(o.Every)-1] {
		case 'h':
		case 'd':
			hours *= 24
		case 'w':
			hours *= 24 * 7
		default:
			hours = 0
		}
		if err != nil || hours < 1 || hours > 366*24 || o.Every[0] == '+' {
			return fmt.Errorf("options.reconcile.every is %.40q: it takes a number and h, d or w, from \"1h\" to \"52w\", such as \"24h\", or \"never\"", o.Every)
		}
	}
	if p := o.MaxDeletedPercent; p != nil && (*p < 0 || *p > 100) {
		return fmt.Errorf("options.reconcile.max_deleted_percent is %g: it takes a number from 0 to 100", *p)
	}
	return nil
}

// UserTables says where a Better Auth server keeps users and sessions in
// PostgreSQL. What is empty has the name that Better Auth gives it.
type UserTables struct {
	// Schema of both tables; empty: public.
	Schema string `json:"schema,omitempty"`
	// UserTable; empty: user.
	UserTable string `json:"user_table,omitempty"`
	// SessionTable; empty: session, where there is one.
	SessionTable string `json:"session_table,omitempty"`
	// Columns are the columns of the user table that have other names than the
	// fields of Better Auth, by field: {"emailVerified": "email_verified"}.
	Columns map[string]string `json:"columns,omitempty"`
	// SessionColumns are those of the session table: userId and createdAt.
	SessionColumns map[string]string `json:"session_columns,omitempty"`
}

// SystemSchemaAdvice says that no tables are read from a schema.
const SystemSchemaAdvice = "options.source.schema is a schema of PostgreSQL's or of authsync's own: name that of the tables of your Better Auth server"

// IsSystemSchema reports schemas that hold no tables of a customer's: catalogs, temporary
// tables, and what authsync keeps itself.
func IsSystemSchema(name string) bool {
	switch name {
	case "information_schema", "authsync", "capydb_auth":
		return true
	default:
		return strings.HasPrefix(name, "pg_") // PostgreSQL lets nobody else take such a name
	}
}

// Validate checks what all providers have in common.
func (o Options) Validate() error {
	switch o.AbsentFields {
	case "", KeepAbsent, ClearAbsent:
		return o.Reconcile.validate()
	default:
		return fmt.Errorf("options.absent_fields is %q: it takes \"keep\" (a missing key says nothing) or \"clear\" (a missing key was cleared)", o.AbsentFields)
	}
}
