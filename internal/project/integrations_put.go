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

// PutIntegration configures a provider for a project. Credentials are merged with the stored ones:
// a missing one stays, null removes one. Options, if not nil, replace the stored ones as a whole,
// except for source.database_url, which is a credential.
//
// It first installs the mirror in the project's database, so that a configured integration implies
// a working database. Errors: ErrNoProject, fault.Invalid, fault.DatabaseUnusable, and those of
// seal.Keyring.Open if the stored values cannot be decrypted.
func (s *Store) PutIntegration(
	ctx context.Context, projectID uuid.UUID, providerName string, given map[string]json.RawMessage, options json.RawMessage,
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

	var row integrationRow
	var changes putChanges
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockTheProject(ctx, tx, projectID); err != nil {
			return err
		}
		var err error
		row, changes, err = s.merge(ctx, tx, projectID, kind, given, options)
		return err
	})
	if err != nil {
		return Integration{}, err
	}
	i := s.integration(projectID, row)
	i.putChanges = changes
	return i, nil
}

func (s *Store) merge(
	ctx context.Context, tx pgx.Tx, projectID uuid.UUID, kind provider.Provider, given map[string]json.RawMessage, options json.RawMessage,
) (row integrationRow, changes putChanges, err error) {
	stored, err := integrationRows(ctx, tx, projectID, kind.Name())
	if err != nil {
		return integrationRow{}, putChanges{}, err
	}
	if len(stored) == 0 && strings.HasPrefix(kind.Name(), provider.CustomPrefix) {
		if err := checkCustoms(ctx, tx, projectID); err != nil {
			return integrationRow{}, putChanges{}, err
		}
	}
	credentials, oldOptions := map[string]json.RawMessage{}, json.RawMessage("{}")
	if len(stored) > 0 {
		if credentials, err = s.credentials(projectID, stored[0]); err != nil {
			return integrationRow{}, putChanges{}, err
		}
		oldOptions = stored[0].Options
	}
	newVerifier := kind.NewVerifier
	if checked, is := kind.(provider.Stored); is && options == nil && len(stored) > 0 {
		newVerifier = checked.StoredVerifier
	}
	old := credentials
	before, err := forFetch(credentials, oldOptions)
	if err != nil {
		before = "" // the unreadable value is replaced
	}
	if credentials, err = mergeCredentials(credentials, given); err != nil {
		return integrationRow{}, putChanges{}, err
	}
	switch {
	case options == nil:
		options = oldOptions
	case bytes.Equal(bytes.TrimSpace(options), []byte("null")):
		options = json.RawMessage("{}")
	}
	typed, err := storedCredentials(credentials)
	if err != nil {
		return integrationRow{}, putChanges{}, err
	}
	parsed, err := storedOptions(options)
	if err != nil {
		return integrationRow{}, putChanges{}, err
	}
	verifier, err := newVerifier(typed, parsed)
	if err != nil {
		return integrationRow{}, putChanges{}, invalid("%v", err)
	}
	if err := s.checkKeySet(verifier, oldOptions, options); err != nil {
		return integrationRow{}, putChanges{}, err
	}
	if err := mustKnow(recipient(kind, old, oldOptions), recipient(kind, credentials, options), old, given); err != nil {
		return integrationRow{}, putChanges{}, err
	}
	if err := kind.CheckStrength(typed, parsed); err != nil {
		return integrationRow{}, putChanges{}, invalid("%v", err)
	}
	after, err := forFetch(credentials, options)
	if err != nil {
		return integrationRow{}, putChanges{}, err
	}
	if before != after {
		if err := s.checkTargets(typed, parsed); err != nil {
			return integrationRow{}, putChanges{}, err
		}
	}

	plain, err := json.Marshal(credentials)
	if err != nil {
		return integrationRow{}, putChanges{}, fmt.Errorf("write credentials: %w", err)
	}
	sealed, err := s.sealCredentials(projectID, kind.Name(), plain)
	if err != nil {
		return integrationRow{}, putChanges{}, err
	}
	rows, err := tx.Query(ctx, upsertIntegration, projectID, kind.Name(), sealed, options, reconcileDefault(kind, typed, parsed))
	if err != nil {
		return integrationRow{}, putChanges{}, fmt.Errorf("store integration: %w", err)
	}
	row, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[integrationRow])
	if err != nil {
		return integrationRow{}, putChanges{}, fmt.Errorf("store integration: %w", err)
	}
	if len(stored) > 0 {
		changes = groupChanges(oldOptions, parsed)
		if was, err := storedOptions(oldOptions); err == nil { // an unreadable value is replaced
			changes.Excluded = parsed.NewlyExcluded(was)
		}
	}
	changes.FetchChanged = changes.FetchChanged || before != after
	return row, changes, err
}

// maxCustom is the maximum number of a project's providers of its own. Every process holds all definitions in memory.
const maxCustom = 20

// checkCustoms refuses another provider of a project's own. The caller holds the project's lock.
func checkCustoms(ctx context.Context, tx pgx.Tx, projectID uuid.UUID) error {
	var count int
	if err := tx.QueryRow(ctx, countCustom, projectID, provider.CustomPrefix).Scan(&count); err != nil {
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
