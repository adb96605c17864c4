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
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
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
	users := count(r.Users(), "user")
	if r.Total != nil && *r.Total >= r.Users() { // some are created while they are read
		users = strconv.FormatInt(r.Users(), 10) + " of " + count(*r.Total, "user")
	}
	parts := []string{users}
	for _, d := range record.Types() {
		if n := r.Report.Records[string(d.Type)]; d.Type != record.User && n > 0 {
			parts = append(parts, count(n, string(d.Type)))
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
