package dashboard

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/retention"
)

// projectData is the page of a project.
type projectData struct {
	wire.Project

	Integrations []projectIntegration
	Others       []string // providers that are not connected
	Problems     []wire.Problem
	Rejected     []wire.Rejected
	Runs         []projectRun
	Destinations []wire.Destination
}

// Follows says that the records come from another project, so that no provider can be connected.
func (p projectData) Follows() bool { return p.Clone != nil && p.Clone.State != wire.CloneStill }

// keptPart is a part of the project's history, with how long it is kept.
type keptPart struct {
	Part      retention.Part
	Label     string
	Set       *int // what the project sets
	Max       int
	Effective string
}

// Kept are the parts of the project's history.
func (p projectData) Kept() (all []keptPart) {
	labels := map[retention.Part]string{
		retention.Inbox: "Messages and outcomes", retention.Ledger: "Ledger", retention.Changes: "Changes", retention.Deliveries: "Deliveries",
	}
	set := retention.Settings{Inbox: p.KeepDays.Inbox, Ledger: p.KeepDays.Ledger, Changes: p.KeepDays.Changes, Deliveries: p.KeepDays.Deliveries}
	for _, part := range retention.Parts() {
		one := keptPart{Part: part, Label: labels[part], Set: *set.Of(part), Max: retention.MaxDays, Effective: "Kept forever"}
		if part == retention.Inbox {
			one.Max = retention.MaxInboxDays
		}
		r := p.Retention[string(part)]
		if r.Days != nil {
			one.Effective = "Kept for " + plural.Of(*r.Days, "day")
		}
		switch r.Source {
		case retention.FromServer:
			one.Effective += ", the server's default."
		case retention.Raised:
			one.Effective += ", so that all messages that can be repeated are known."
		default:
			one.Effective += "."
		}
		all = append(all, one)
	}
	return all
}

// keptFor is how long a part of a project's history is kept, such as "30 days"; empty: forever.
func keptFor(p *wire.Project, part string) string {
	if days := p.Retention[part].Days; days != nil {
		return plural.Of(*days, "day")
	}
	return ""
}

// projectIntegration is an integration with the newest message of its provider.
type projectIntegration struct {
	wire.Integration

	Last *wire.Event // nil: none was received
}

// projectRun is a row of the sync runs.
type projectRun struct{ wire.Run }

// IsOpen says that a run is not finished.
func (r projectRun) IsOpen() bool { return r.FinishedAt == nil }

// ReadText is what a run has read, such as "1200 of 5000 users, 1 organization": the total is that of users.
func (r projectRun) ReadText() string {
	users := plural.Of(r.Users(), "user")
	if r.Total != nil && *r.Total >= r.Users() { // some are created while they are read
		users = strconv.FormatInt(r.Users(), 10) + " of " + plural.Of(*r.Total, "user")
	}
	parts := []string{users}
	for _, d := range record.Types() {
		if n := r.Report.Records[string(d.Type)]; d.Type != record.User && n > 0 {
			parts = append(parts, plural.Of(n, string(d.Type)))
		}
	}
	return strings.Join(parts, ", ")
}

// CredentialNames are the names of the credentials that are set.
func (i projectIntegration) CredentialNames() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(i.Credentials)) {
		if i.Credentials[name].Set {
			names = append(names, name)
		}
	}
	return names
}

func showProject(v *visit) (view, error) {
	data := projectData{Project: *v.project}
	var err error
	if data.Problems, err = foundProblems(v); err != nil {
		return view{}, err
	}
	integrations, err := get[wire.Page[wire.Integration]](v, nil, "projects", v.project.ID, "integrations")
	if err != nil {
		return view{}, err
	}
	for _, i := range integrations.Data {
		one := projectIntegration{Integration: i}
		if one.Last, err = newestEvent(v, url.Values{"provider": {i.Provider}}); err != nil {
			return view{}, err
		}
		data.Integrations = append(data.Integrations, one)
		runs, err := lastRuns(v, i.Provider)
		if err != nil {
			return view{}, err
		}
		data.Runs = append(data.Runs, runs...)
	}
	for _, name := range slices.Concat(provider.Names(), provider.Presets()) {
		if !slices.ContainsFunc(integrations.Data, func(i wire.Integration) bool { return i.Provider == name }) {
			data.Others = append(data.Others, name)
		}
	}
	if data.Rejected, err = rejectedRequests(v, ""); err != nil {
		return view{}, err
	}
	destinations, err := get[wire.Page[wire.Destination]](v, nil, "projects", v.project.ID, "destinations")
	if err != nil {
		return view{}, err
	}
	data.Destinations = destinations.Data
	return view{template: "project", title: v.project.Name, section: "overview", data: data}, nil
}

func isNotFound(err error) bool {
	var refused *problemError
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound
}
