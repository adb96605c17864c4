package project

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// putChanges is what PutIntegration has changed, beside what is stored.
type putChanges struct {
	// FetchChanged reports that PutIntegration changed what is read from the provider: credentials or
	// options used to read its users, or that it turned on organizations, which can be read, too.
	FetchChanged bool
	// Stopped are the groups of record types that it turned off, as in option record_types. What the
	// mirror has of them stays.
	Stopped []string
	// Excluded are the entries of option exclude that it added. What is stored already of these fields stays.
	Excluded []string
}

// PutOption changes what PutIntegration does.
type PutOption func(*putOptions)

type putOptions struct{ adoptAccount bool }

// AdoptAccount stores credentials of another account as well: from now on, its users are those of the mirror.
func AdoptAccount() PutOption { return func(o *putOptions) { o.adoptAccount = true } }

// PutIntegration configures a provider for a project. Credentials are merged with the stored ones:
// a missing one stays, null removes one. Options, if not nil, replace the stored ones as a whole,
// except for source.database_url, which is a credential.
//
// Credentials of another account than before are refused, unless AdoptAccount is given.
//
// It first installs the mirror in the project's database, so that a configured integration implies
// a working database. With option provision it requests the job that sets up the webhook at the
// provider, and generates the signing secret if the provider takes ours. Errors: ErrNoProject,
// fault.Invalid, fault.DatabaseUnusable, fault.AccountMismatch, and those of seal.Keyring.Open if the
// stored values cannot be decrypted.
func (s *Store) PutIntegration(
	ctx context.Context, projectID uuid.UUID, providerName string, given map[string]json.RawMessage, options json.RawMessage, how ...PutOption,
) (Integration, error) {
	kind, err := lookupProvider(providerName)
	if err != nil {
		return Integration{}, err
	}
	// Reject invalid input before anything is touched.
	if given, options, err = sealSourceURL(given, options); err != nil {
		return Integration{}, err
	}
	if _, err := mergeCredentials(nil, given); err != nil {
		return Integration{}, err
	}
	parsed, err := ParseOptions(options)
	if err != nil {
		return Integration{}, err
	}
	if stored, is := kind.(provider.Stored); is && options != nil {
		if err := stored.Prepare(parsed); err != nil {
			return Integration{}, invalid("%v", err)
		}
	}
	databaseURL, err := s.DatabaseURL(ctx, projectID)
	if err != nil {
		return Integration{}, err
	}
	if err := s.install(ctx, databaseURL, projectID, false); err != nil {
		return Integration{}, err
	}
	if err := s.checkGivenSource(ctx, projectID, given); err != nil {
		return Integration{}, err
	}

	var chosen putOptions
	for _, set := range how {
		set(&chosen)
	}
	// All checks come before the provider is asked, because that sends it the secrets, and are repeated under the lock.
	seen, err := s.plan(ctx, s.pool, projectID, kind, given, options)
	if err != nil {
		return Integration{}, err
	}
	mark, err := s.identify(ctx, projectID, kind, seen)
	if err != nil {
		return Integration{}, err
	}
	var row integrationRow
	var changes putChanges
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockTheProject(ctx, tx, projectID); err != nil {
			return err
		}
		p, err := s.plan(ctx, tx, projectID, kind, given, options)
		if err != nil {
			return err
		}
		if p.mark, err = p.account(kind.Name(), seen, mark, chosen.adoptAccount); err != nil {
			return err
		}
		row, changes, err = s.store(ctx, tx, projectID, kind, p)
		return err
	})
	if err != nil {
		return Integration{}, err
	}
	i := s.integration(projectID, row)
	i.putChanges = changes
	return i, nil
}

// putPlan is what PutIntegration is going to store.
type putPlan struct {
	credentials map[string]json.RawMessage
	options     json.RawMessage
	typed       provider.Credentials
	parsed      provider.Options
	// before and after are what reading the provider's users depends on; see forFetch.
	before, after string
	// exists says that the integration is stored already, with the options oldOptions and the account mark.
	exists     bool
	oldOptions json.RawMessage
	mark       *string
}

// database is a pool or a transaction.
type database interface {
	querier
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// plan merges what is given with what is stored, and refuses what must not be stored.
func (s *Store) plan(
	ctx context.Context, db database, projectID uuid.UUID, kind provider.Provider, given map[string]json.RawMessage, options json.RawMessage,
) (*putPlan, error) {
	stored, err := integrationRows(ctx, db, projectID, kind.Name())
	if err != nil {
		return nil, err
	}
	if len(stored) == 0 && strings.HasPrefix(kind.Name(), provider.CustomPrefix) {
		if err := checkCustoms(ctx, db, projectID); err != nil {
			return nil, err
		}
	}
	p := &putPlan{credentials: map[string]json.RawMessage{}, oldOptions: json.RawMessage("{}"), options: options, exists: len(stored) > 0}
	if p.exists {
		if p.credentials, err = s.credentials(projectID, stored[0]); err != nil {
			return nil, err
		}
		p.oldOptions, p.mark = stored[0].Options, stored[0].AccountMark
	} else if p.mark, err = followsMark(ctx, db, projectID, kind.Name()); err != nil {
		return nil, err
	}
	newVerifier := kind.NewVerifier
	if checked, is := kind.(provider.Stored); is && options == nil && p.exists {
		newVerifier = checked.StoredVerifier
	}
	old := p.credentials
	if p.before, err = forFetch(old, p.oldOptions); err != nil {
		p.before = "" // the unreadable value is replaced
	}
	if p.credentials, err = mergeCredentials(old, given); err != nil {
		return nil, err
	}
	switch {
	case options == nil:
		p.options = p.oldOptions
	case bytes.Equal(bytes.TrimSpace(options), []byte("null")):
		p.options = json.RawMessage("{}")
	}
	if p.typed, err = storedCredentials(p.credentials); err != nil {
		return nil, err
	}
	if p.parsed, err = storedOptions(p.options); err != nil {
		return nil, err
	}
	if p.parsed.Provision {
		if p.typed, err = withProvision(kind, p.credentials, p.typed, p.parsed); err != nil {
			return nil, err
		}
	}
	verifier, err := newVerifier(p.typed, p.parsed)
	if err != nil {
		return nil, invalid("%v", err)
	}
	if err := s.checkKeySet(verifier, p.oldOptions, p.options); err != nil {
		return nil, err
	}
	if err := mustKnow(recipient(kind, old, p.oldOptions), recipient(kind, p.credentials, p.options), old, given); err != nil {
		return nil, err
	}
	if err := kind.CheckStrength(p.typed, p.parsed); err != nil {
		return nil, invalid("%v", err)
	}
	if p.after, err = forFetch(p.credentials, p.options); err != nil {
		return nil, err
	}
	if p.before != p.after {
		if err := s.checkTargets(p.typed, p.parsed); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// store writes a plan. The caller holds the project's lock.
func (s *Store) store(
	ctx context.Context, tx pgx.Tx, projectID uuid.UUID, kind provider.Provider, p *putPlan,
) (row integrationRow, changes putChanges, err error) {
	plain, err := json.Marshal(p.credentials)
	if err != nil {
		return integrationRow{}, putChanges{}, fmt.Errorf("write credentials: %w", err)
	}
	sealed, err := s.sealCredentials(projectID, kind.Name(), plain)
	if err != nil {
		return integrationRow{}, putChanges{}, err
	}
	rows, err := tx.Query(ctx, upsertIntegration, projectID, kind.Name(), sealed, p.options, reconcileDefault(kind, p.typed, p.parsed), p.mark)
	if err != nil {
		return integrationRow{}, putChanges{}, fmt.Errorf("store integration: %w", err)
	}
	row, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[integrationRow])
	if err != nil {
		return integrationRow{}, putChanges{}, fmt.Errorf("store integration: %w", err)
	}
	if p.parsed.Provision {
		if err := RequestWebhook(ctx, tx, projectID, kind.Name()); err != nil {
			return integrationRow{}, putChanges{}, err
		}
	}
	if p.exists {
		changes = groupChanges(p.oldOptions, p.parsed)
		if was, err := storedOptions(p.oldOptions); err == nil { // an unreadable value is replaced
			changes.Excluded = p.parsed.NewlyExcluded(was)
		}
	}
	changes.FetchChanged = changes.FetchChanged || p.before != p.after
	return row, changes, nil
}

// maxCustom is the maximum number of a project's providers of its own. Every process holds all definitions in memory.
const maxCustom = 20

// checkCustoms refuses another provider of a project's own. It counts only if the caller holds the project's lock.
func checkCustoms(ctx context.Context, db database, projectID uuid.UUID) error {
	var count int
	if err := db.QueryRow(ctx, countCustom, projectID, provider.CustomPrefix).Scan(&count); err != nil {
		return fmt.Errorf("count integrations: %w", err)
	}
	if count >= maxCustom {
		return invalid("the project has %d providers of its own: at most %d are taken: delete one", count, maxCustom)
	}
	return nil
}

// groupChanges compares which groups of record types are mirrored. Sessions cannot be read, so that
// turning them on changes nothing of what is.
func groupChanges(old json.RawMessage, now provider.Options) (changes putChanges) {
	before, err := storedOptions(old)
	if err != nil {
		return changes // the unreadable value is replaced
	}
	for _, t := range []record.Type{record.Organization, record.Session} {
		group, mirrored := now.Mirrors(t)
		_, was := before.Mirrors(t)
		if was && !mirrored {
			changes.Stopped = append(changes.Stopped, group)
		}
		if mirrored && !was && t == record.Organization {
			changes.FetchChanged = true
		}
	}
	return changes
}

// reconcileDefault returns the reconcile interval unless the options set one.
func reconcileDefault(kind provider.Provider, c provider.Credentials, o provider.Options) *string {
	sourcer, sources := kind.(userapi.Sourcer)
	if !sources {
		return nil
	}
	if can, _ := userapi.CanRead(sourcer, c, o); !can {
		return nil
	}
	every := sourcer.ReconcileEvery()
	return &every
}

// checkTargets refuses provider addresses that requests may not be sent to. Unchanged addresses are
// not checked, so that a secret can always be changed.
func (s *Store) checkTargets(c provider.Credentials, o provider.Options) error {
	if o.BaseURL != "" {
		if err := s.targets.CheckURL(strings.TrimSpace(o.BaseURL)); err != nil {
			return invalid("options.base_url: %v", err)
		}
	}
	if c.Domain != "" {
		if err := s.targets.CheckURL("https://" + c.Domain); err != nil {
			return invalid("credentials.domain: %v", err)
		}
	}
	return nil
}

// checkKeySet refuses an address of public keys that requests may not be sent to, if the options have changed.
func (s *Store) checkKeySet(v provider.Verifier, before, now json.RawMessage) error {
	user, uses := v.(provider.KeySetUser)
	if !uses || user.KeySetURL() == "" || bytes.Equal(before, now) {
		return nil
	}
	if err := s.targets.CheckURL(user.KeySetURL()); err != nil {
		return invalid("options.definition.signature.key_set_url: %v", err)
	}
	return nil
}

// checkGivenSource refuses a changed database that must not serve the project. It connects to that
// database, so the caller must hold no locks.
func (s *Store) checkGivenSource(ctx context.Context, projectID uuid.UUID, given map[string]json.RawMessage) error {
	var databaseURL string
	if text := given["database_url"]; text == nil || json.Unmarshal(text, &databaseURL) != nil || databaseURL == "" {
		return nil //nolint:nilerr // it is not given, or null; what has no form is refused elsewhere
	}
	if _, err := s.tenants.Check(databaseURL); err != nil {
		return invalid("credentials.database_url %v", err)
	}
	if s.checkSource == nil {
		return nil
	}
	err := s.checkSource(ctx, projectID, databaseURL)
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, new(*pgdb.OwnedError)):
		return fault.Wrap(fault.DatabaseUnusable, err, "credentials.database_url: that database holds the mirror of another project: use the one that your Better Auth server uses")
	default:
		return fault.Wrap(fault.DatabaseUnusable, err, "credentials.database_url: "+pgdb.Describe(err))
	}
}

// forFetch returns, in a comparable form, what reading the provider's users depends on.
func forFetch(credentials map[string]json.RawMessage, options json.RawMessage) (string, error) {
	c, err := storedCredentials(credentials)
	if err != nil {
		return "", err
	}
	o, err := storedOptions(options)
	if err != nil {
		return "", err
	}
	c.WebhookSigningSecret, c.WebhookAuthorization = nil, nil
	text, err := json.Marshal([]any{c, o.BaseURL, o.Source})
	if err != nil {
		return "", fmt.Errorf("compare credentials: %w", err)
	}
	return string(text), nil
}
