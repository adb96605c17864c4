package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// clockSkew is how much a caller's clock may be ahead of ours.
const clockSkew = time.Minute

func destinationOf(d project.Destination, h admin.Health) wire.Destination {
	w := wire.Destination{
		ID: d.ID.String(), ProjectID: d.ProjectID.String(), Name: d.Name, Type: d.Type, EventTypes: d.EventTypes, Fields: d.Fields,
		Condition: d.Condition, Holdback: holdbackOf(d.Holdback), Options: d.Options, State: d.State, StateBy: d.StateBy, StateReason: d.StateReason,
		StateSince: d.StateSince.UTC(), Waiting: h.Waiting, Retrying: h.Retrying, Failed: h.Failed, Held: h.Held, HeldUntil: utc(h.HeldUntil),
		WaitReason:   h.WaitReason,
		FailingSince: utc(h.FailingSince), BreakerOpenUntil: utc(h.BreakerOpenUntil), OldestWaitingAt: utc(h.OldestWaitingAt),
		LastSuccessAt: utc(h.LastSuccessAt), Fault: d.Fault, CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
	}
	if d.Secrets != nil {
		w.Secrets = make(map[string]wire.SecretState, len(d.Secrets))
	}
	for name, s := range d.Secrets {
		w.Secrets[name] = wire.SecretState{Set: s.Set, OldUntil: utc(s.OldUntil)}
	}
	return w
}

// destinationInput is what is given for a destination, when it is made and when it is changed.
type destinationInput struct {
	Name       *string            `json:"name"`
	EventTypes *[]string          `json:"event_types"`
	Fields     *[]string          `json:"fields"`
	Condition  json.RawMessage    `json:"condition"` // null is not the same as absent: it removes
	Holdback   json.RawMessage    `json:"holdback"`  // likewise
	Options    json.RawMessage    `json:"options"`
	Secrets    map[string]*string `json:"secrets"`
}

func (in destinationInput) given() (project.DestinationInput, error) {
	given := project.DestinationInput{Name: in.Name, EventTypes: in.EventTypes, Fields: in.Fields, Options: in.Options, Secrets: in.Secrets}
	var err error
	if given.Condition, err = textOrNull("condition", in.Condition); err != nil {
		return given, err
	}
	given.Holdback, err = textOrNull("holdback", in.Holdback)
	return given, err
}

// textOrNull is a text of which null means the empty one; nil: it is not given.
func textOrNull(name string, given json.RawMessage) (*string, error) {
	if given == nil {
		return nil, nil //nolint:nilnil // see above
	}
	var text *string
	if json.Unmarshal(given, &text) != nil {
		return nil, wrong(inBody, name, problem.WrongType, "%s must be a string, or null for none", name)
	}
	if text == nil {
		text = new(string)
	}
	return text, nil
}

func holdbackOf(d *time.Duration) *string {
	if d == nil {
		return nil
	}
	text := destination.FormatHoldback(d)
	return &text
}

func (a *API) createDestination(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	var in struct {
		Name       *string            `json:"name"`
		Type       string             `json:"type"`
		EventTypes *[]string          `json:"event_types"`
		Fields     *[]string          `json:"fields"`
		Condition  json.RawMessage    `json:"condition"`
		Holdback   json.RawMessage    `json:"holdback"`
		Options    json.RawMessage    `json:"options"`
		Secrets    map[string]*string `json:"secrets"`
		Since      string             `json:"since"`
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	given, err := destinationInput{in.Name, in.EventTypes, in.Fields, in.Condition, in.Holdback, in.Options, in.Secrets}.given()
	if err != nil {
		return answer{}, err
	}
	from, err := parseSince(in.Since)
	if err != nil {
		return answer{}, err
	}
	d, secret, err := a.config.Store.CreateDestination(r.Context(), p.ID, in.Type, given,
		func(ctx context.Context) (project.InTx, error) {
			cursor, err := a.config.Deliveries.Cursor(ctx, p.ID, from)
			return func(ctx context.Context, tx pgx.Tx, d project.Destination) error {
				return a.config.Deliveries.Start(ctx, tx, d.ID, p.ID, cursor)
			}, ofDatabase(p, err)
		})
	if err != nil {
		return answer{}, err
	}
	body := destinationOf(d, admin.Health{})
	body.Secret = (*wire.MadeSecret)(secret)
	return answer{
		status: http.StatusCreated, body: body,
		location: "/projects/" + p.ID.String() + "/destinations/" + d.ID.String(),
	}, nil
}

// parseSince reads the beginning of deliveries. A time to come is refused: taken as now, it would
// deliver what the caller meant to leave out.
func parseSince(text string) (admin.From, error) {
	switch text {
	case "", "now":
		return admin.From{}, nil
	case "beginning":
		return admin.From{Beginning: true}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return admin.From{}, wrongField("since",
			"since is %.60q: give now, beginning, or a time as in 2026-05-04T10:20:30Z", text)
	}
	if at.After(time.Now().Add(clockSkew)) {
		return admin.From{}, wrongField("since",
			"since is %.60s, which is yet to come: give a time that has passed; changes from now on are delivered anyway", text)
	}
	return admin.From{Time: at}, nil
}

func (a *API) listDestinations(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	list, err := a.config.Store.ListDestinations(r.Context(), p.ID)
	if err != nil {
		return answer{}, err
	}
	health, err := a.config.Deliveries.Health(r.Context(), p.ID)
	if err != nil {
		return answer{}, err
	}
	bodies := make([]wire.Destination, len(list))
	for i, d := range list {
		bodies[i] = destinationOf(d, health[d.ID])
	}
	return pageOf(r, bodies, func(d wire.Destination) string { return d.Name })
}

// destination finds the project and the destination that the path names.
func (a *API) destination(r *http.Request) (project.Project, project.Destination, error) {
	p, err := a.project(r)
	if err != nil {
		return project.Project{}, project.Destination{}, err
	}
	name, err := variable(r, "destination")
	if err != nil {
		return project.Project{}, project.Destination{}, err
	}
	d, err := a.config.Store.FindDestination(r.Context(), p.ID, name)
	return p, d, err
}

func (a *API) getDestination(r *http.Request) (answer, error) {
	_, d, err := a.destination(r)
	if err != nil {
		return answer{}, err
	}
	return a.shown(r, d, nil)
}

// shown answers with a destination and its health.
func (a *API) shown(r *http.Request, d project.Destination, secret *project.MadeSecret) (answer, error) {
	health, err := a.config.Deliveries.Health(r.Context(), d.ProjectID)
	if err != nil {
		return answer{}, err
	}
	body := destinationOf(d, health[d.ID])
	body.Secret = (*wire.MadeSecret)(secret)
	return answer{status: http.StatusOK, body: body}, nil
}

// updateDestination changes what is given. Other options or secrets may be the
// repair that authsync waits for, so what it stopped by itself goes on.
func (a *API) updateDestination(r *http.Request) (answer, error) {
	p, d, err := a.destination(r)
	if err != nil {
		return answer{}, err
	}
	var in destinationInput
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	given, err := in.given()
	if err != nil {
		return answer{}, err
	}
	if d, err = a.config.Store.UpdateDestination(r.Context(), p.ID, d.ID.String(), given); err != nil {
		return answer{}, err
	}
	repaired := len(bytes.TrimSpace(in.Options)) > 0 || len(in.Secrets) > 0
	if repaired && d.State != project.Active && d.StateBy == project.ByAuthsync {
		if err := a.config.Deliveries.Resume(r.Context(), d.ID); err != nil {
			return answer{}, err
		}
		return a.again(r, d)
	}
	return a.shown(r, d, nil)
}

func (a *API) deleteDestination(r *http.Request) (answer, error) {
	_, d, err := a.destination(r)
	if err != nil {
		return answer{}, err
	}
	if err := a.config.Store.DeleteDestination(r.Context(), d.ID); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
