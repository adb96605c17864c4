package project_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
)

// fakeTypes knows two types: webhook, which makes its secret, and http, which takes any secrets.
type fakeTypes struct{}

func (fakeTypes) Lookup(name string) (destination.Type, error) {
	name = strings.ToLower(name)
	if name != "webhook" && name != "http" {
		return nil, fault.New(fault.Invalid, "unknown destination type "+name+": use one of webhook, http")
	}
	return fakeType(name), nil
}

func (fakeTypes) Check(typ destination.Type, c destination.Config, eventTypes, _ []string, condition *string) error {
	if slices.Contains(eventTypes, "user.renamed") {
		return fault.New(fault.Invalid, "event_types has user.renamed")
	}
	if condition != nil && *condition == "(" {
		return fault.New(fault.Invalid, "condition is no jq")
	}
	_, err := typ.New(c, destination.Deps{})
	return err
}

type fakeType string

func (k fakeType) Name() string { return string(k) }

func (k fakeType) New(c destination.Config, _ destination.Deps) (destination.Destination, error) {
	var options struct {
		URL string `json:"url"`
	}
	if json.Unmarshal(c.Options, &options) != nil || options.URL == "" {
		return nil, fault.New(fault.Invalid, "give options.url")
	}
	if k == "webhook" && len(c.Secrets.Values["signing"]) < 8 {
		return nil, fault.New(fault.Invalid, "secrets.signing is too short")
	}
	return nil, nil //nolint:nilnil // only the check counts here
}

func (k fakeType) SecretNames() []string {
	if k == "webhook" {
		return []string{"signing"}
	}
	return nil
}

func (k fakeType) SendsSecretsTo(options json.RawMessage) []string {
	var o struct {
		URL string `json:"url"`
	}
	if k == "webhook" || json.Unmarshal(options, &o) != nil || o.URL == "" {
		return nil
	}
	return []string{egress.Origin(o.URL)}
}

func (k fakeType) NewSecret() (name, value string, ok bool) {
	return "signing", "made-" + uuid.NewString(), k == "webhook"
}

func nothingElse(context.Context) (project.InTx, error) {
	return func(context.Context, pgx.Tx, project.Destination) error { return nil }, nil
}

func also(do project.InTx) project.Prepare {
	return func(context.Context) (project.InTx, error) { return do, nil }
}

func input(name, options string, secrets map[string]*string) project.DestinationInput {
	return project.DestinationInput{Name: &name, Options: json.RawMessage(options), Secrets: secrets}
}

const anyURL = `{"url": "https://example.com/hook"}`

func (b *testBundle) webhook(t *testing.T, p project.Project, name string) (project.Destination, string) {
	t.Helper()
	d, made, err := b.store.CreateDestination(t.Context(), p.ID, "webhook", input(name, anyURL, nil), nothingElse)
	require.NoError(t, err)
	require.Equal(t, "signing", made.Name)
	return d, made.Value
}

func TestDestinationIsStoredSealedAndShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	in := input("billing", anyURL, map[string]*string{"token": new("s3cret-token")})
	in.EventTypes, in.Fields, in.Condition = &[]string{"user.updated", "user.deleted", "user.deleted"}, &[]string{"email"}, new(`.user.email != null`)
	var hooked project.Destination
	d, made, err := b.store.CreateDestination(t.Context(), shop.ID, "HTTP", in,
		also(func(_ context.Context, _ pgx.Tx, d project.Destination) error { hooked = d; return nil }))
	require.NoError(t, err)
	require.Nil(t, made, "this type makes no secret")
	require.Equal(t, d, hooked)
	require.Equal(t, "http", d.Type)
	require.Equal(t, []string{"user.deleted", "user.updated"}, d.EventTypes)
	require.Equal(t, []string{"email"}, d.Fields)
	require.JSONEq(t, anyURL, string(d.Options))
	require.Equal(t, map[string]project.SecretState{"token": {Set: true}}, d.Secrets)
	require.Equal(t, project.Active, d.State)
	require.NotZero(t, d.CreatedAt)

	for _, ref := range []string{"billing", d.ID.String()} {
		found, err := b.store.FindDestination(t.Context(), shop.ID, ref)
		require.NoError(t, err)
		require.Equal(t, d, found)
	}
	opened, config, err := b.store.OpenDestination(t.Context(), d.ID)
	require.NoError(t, err)
	require.Equal(t, d, opened)
	require.Equal(t, destination.Config{
		ID: d.ID, ProjectID: shop.ID, Name: "billing", Options: d.Options,
		Secrets: destination.Secrets{Values: map[string]string{"token": "s3cret-token"}},
	}, config)

	var row string
	require.NoError(t, b.pool.QueryRow(t.Context(),
		`SELECT d::text || encode(secrets_sealed, 'escape') FROM authsync.destinations AS d`).Scan(&row))
	require.NotContains(t, row, "s3cret")
}

func TestWhatBelongsToANewDestinationIsInItsTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	broken := errors.New("broken")
	_, _, err := b.store.CreateDestination(t.Context(), shop.ID, "webhook", input("x", anyURL, nil),
		also(func(ctx context.Context, tx pgx.Tx, d project.Destination) error {
			_, err := tx.Exec(ctx, `INSERT INTO authsync.destination_progress (destination_id, cursor) VALUES ($1, 0)`, d.ID)
			require.NoError(t, err)
			return broken
		}))
	require.ErrorIs(t, err, broken)
	list, err := b.store.ListDestinations(t.Context(), shop.ID)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestDestinationsAreOfTheirProject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, other := b.project(t, "shop"), b.project(t, "other")
	d, _ := b.webhook(t, shop, "hook")
	b.webhook(t, shop, "crm")
	b.webhook(t, other, "hook")

	list, err := b.store.ListDestinations(t.Context(), shop.ID)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "crm", list[0].Name)
	_, err = b.store.ListDestinations(t.Context(), uuid.New())
	require.ErrorIs(t, err, project.ErrNoProject)
	_, err = b.store.FindDestination(t.Context(), other.ID, d.ID.String())
	require.ErrorIs(t, err, project.ErrNoDestination)
	_, _, err = b.store.CreateDestination(t.Context(), shop.ID, "webhook", input("hook", anyURL, nil), nothingElse)
	require.ErrorIs(t, err, project.ErrDestinationTaken)
	_, err = b.store.UpdateDestination(t.Context(), shop.ID, "crm", project.DestinationInput{Name: new("hook")})
	require.ErrorIs(t, err, project.ErrDestinationTaken)
	_, _, err = b.store.CreateDestination(t.Context(), uuid.New(), "webhook", input("hook", anyURL, nil), nothingElse)
	require.ErrorIs(t, err, project.ErrNoProject)

	require.NoError(t, b.store.DeleteDestination(t.Context(), d.ID))
	require.ErrorIs(t, b.store.DeleteDestination(t.Context(), d.ID), project.ErrNoDestination)
	_, _, err = b.store.OpenDestination(t.Context(), d.ID)
	require.ErrorIs(t, err, project.ErrNoDestination)
}

func TestAHaltedFilterIsGivenAnotherTryOnceItIsChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	for name, c := range map[string]struct {
		in   project.DestinationInput
		want bool
	}{
		"nothing":          {project.DestinationInput{}, true},
		"the-same":         {project.DestinationInput{Condition: new("true"), Fields: &[]string{"email"}}, true},
		"options":          {project.DestinationInput{Options: json.RawMessage(`{"url": "https://example.com/other"}`)}, true},
		"condition":        {project.DestinationInput{Condition: new(".type == \"user.updated\"")}, false},
		"no-condition":     {project.DestinationInput{Condition: new("")}, false},
		"fields":           {project.DestinationInput{Fields: &[]string{"username"}}, false},
		"event-types":      {project.DestinationInput{EventTypes: &[]string{"user.deleted"}}, false},
		"condition-beside": {project.DestinationInput{Name: new("renamed"), Condition: new("false")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := input(name, anyURL, nil)
			in.Condition, in.Fields = new("true"), &[]string{"email"}
			d, _, err := b.store.CreateDestination(t.Context(), shop.ID, "webhook", in, nothingElse)
			require.NoError(t, err)
			_, err = b.pool.Exec(t.Context(), `UPDATE authsync.destinations SET filter_halted = true, state = 'paused' WHERE id = $1`, d.ID)
			require.NoError(t, err)
			_, err = b.store.UpdateDestination(t.Context(), shop.ID, name, c.in)
			require.NoError(t, err)
			var halted bool
			require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT filter_halted FROM authsync.destinations WHERE id = $1`, d.ID).Scan(&halted))
			require.Equal(t, c.want, halted)
		})
	}
}

func TestAnotherFilterHasWhatWasKeptBackRelayed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	d, _ := b.webhook(t, shop, "hook")
	relays := func(in project.DestinationInput) (n int) {
		_, err := b.store.UpdateDestination(t.Context(), shop.ID, "hook", in)
		require.NoError(t, err)
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.river_job WHERE kind = 'relay_changes'`).Scan(&n))
		return n
	}
	require.Zero(t, relays(project.DestinationInput{Condition: new("true")}), "nothing was kept back")
	_, err := b.pool.Exec(t.Context(), `UPDATE authsync.destinations SET filter_halted = true WHERE id = $1`, d.ID)
	require.NoError(t, err)
	require.Zero(t, relays(project.DestinationInput{Name: new("hook")}))
	require.Equal(t, 1, relays(project.DestinationInput{Condition: new("false")}))
}

func TestUpdateChangesWhatIsGivenAndNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	in := input("billing", `{"url": "https://example.com", "method": "POST", "deep": {"a": 1}}`,
		map[string]*string{"token": new("token-one"), "other": new("other-one")})
	in.Condition, in.Fields = new("true"), &[]string{"email"}
	d, _, err := b.store.CreateDestination(t.Context(), shop.ID, "http", in, nothingElse)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `UPDATE authsync.destinations SET state = 'paused', state_reason = 'r'`)
	require.NoError(t, err)

	same, err := b.store.UpdateDestination(t.Context(), shop.ID, "billing", project.DestinationInput{})
	require.NoError(t, err)
	require.Equal(t, d.Options, same.Options)
	require.Equal(t, d.Secrets, same.Secrets)
	require.Equal(t, d.Condition, same.Condition)
	require.Equal(t, d.Fields, same.Fields)
	require.Equal(t, project.Paused, same.State, "the state is that of the deliveries")

	d, err = b.store.UpdateDestination(t.Context(), shop.ID, "billing", project.DestinationInput{
		Name: new("bills"), EventTypes: &[]string{"user.deleted"}, Fields: &[]string{}, Condition: new(""),
		Options: json.RawMessage(`{"method": null, "deep": {"b": 2}}`),
		Secrets: map[string]*string{"token": new("token-two"), "other": nil},
	})
	require.NoError(t, err)
	require.Equal(t, "bills", d.Name)
	require.Equal(t, []string{"user.deleted"}, d.EventTypes)
	require.Empty(t, d.Fields)
	require.Nil(t, d.Condition)
	require.JSONEq(t, `{"url": "https://example.com", "deep": {"b": 2}}`, string(d.Options))
	_, config, err := b.store.OpenDestination(t.Context(), d.ID)
	require.NoError(t, err)
	require.Equal(t, destination.Secrets{Values: map[string]string{"token": "token-two"}}, config.Secrets)

	_, err = b.store.UpdateDestination(t.Context(), shop.ID, "bills", project.DestinationInput{Options: json.RawMessage(`null`)})
	require.ErrorContains(t, err, "give options.url", "what is stored is checked as a whole")
	_, err = b.store.UpdateDestination(t.Context(), shop.ID, "gone", project.DestinationInput{})
	require.ErrorIs(t, err, project.ErrNoDestination)
}

func TestWrongDestinationsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	large := make(map[string]*string)
	for i := range 21 {
		large["s"+string(rune('a'+i))] = new("x")
	}
	for name, bad := range map[string]struct {
		typ  string
		in   project.DestinationInput
		want string
	}{
		"Name":          {"http", input("Not This", anyURL, nil), "must be 1 to 63"},
		"NameIsAnID":    {"http", input(uuid.NewString(), anyURL, nil), "must not look like the id of a destination"},
		"Type":          {"fax", input("x", anyURL, nil), "use one of webhook, http"},
		"NoOptions":     {"http", input("x", "", nil), "give options.url"},
		"OptionsList":   {"http", input("x", "[]", nil), "options must be an object"},
		"LargeOptions":  {"http", input("x", `{"url": "`+strings.Repeat("x", 33<<10)+`"}`, nil), "at most 32768"},
		"UnknownSecret": {"webhook", input("x", anyURL, map[string]*string{"token": new("s3cret")}), `no secret "token": it takes signing`},
		"SecretName":    {"http", input("x", anyURL, map[string]*string{"a.b": new("s3cret")}), "1 to 63 of a-z, 0-9 and _"},
		"EmptySecret":   {"http", input("x", anyURL, map[string]*string{"a": new(" ")}), "secrets.a is empty"},
		"ShortSecret":   {"webhook", input("x", anyURL, map[string]*string{"signing": new("s3cret")}), "secrets.signing is too short"},
		"LargeSecret":   {"http", input("x", anyURL, map[string]*string{"a": new("s3cret" + strings.Repeat("x", 8<<10))}), "at most 8192"},
		"ManySecrets":   {"http", input("x", anyURL, large), "at most 20"},
		"Condition":     {"http", project.DestinationInput{Name: new("x"), Options: json.RawMessage(anyURL), Condition: new("(")}, "no jq"},
		"LongCondition": {"http", project.DestinationInput{Name: new("x"), Options: json.RawMessage(anyURL), Condition: new(strings.Repeat("x", 5000))}, "at most 4096"},
		"EventType":     {"http", project.DestinationInput{Name: new("x"), Options: json.RawMessage(anyURL), EventTypes: &[]string{"user.renamed"}}, "event_types has user.renamed"},
		"LongField":     {"http", project.DestinationInput{Name: new("x"), Options: json.RawMessage(anyURL), Fields: &[]string{strings.Repeat("x", 201)}}, "at most 200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := b.store.CreateDestination(t.Context(), shop.ID, bad.typ, bad.in, nothingElse)
			require.True(t, fault.Is(err, fault.Invalid), err)
			require.ErrorContains(t, err, bad.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestAProjectHasFiftyDestinationsAtMost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	_, err := b.pool.Exec(t.Context(), `INSERT INTO authsync.destinations (project_id, name, type, secrets_sealed)
		SELECT $1, 'd' || n, 'http', '' FROM generate_series(1, 50) AS n`, shop.ID)
	require.NoError(t, err)
	_, _, err = b.store.CreateDestination(t.Context(), shop.ID, "webhook", input("x", anyURL, nil), nothingElse)
	require.ErrorContains(t, err, "remove one first")
}
