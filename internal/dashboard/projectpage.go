package dashboard

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/provider"
)

// projectData is the page of a project.
type projectData struct {
	wire.Project

	Integrations []projectIntegration
	Rejected     []wire.Rejected
	Runs         []wire.Run
	Destinations []wire.Destination
}

// projectIntegration is an integration with the newest message of its provider.
type projectIntegration struct {
	wire.Integration

	Last *wire.Event // nil: none was received
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
	integrations, err := get[wire.Page[wire.Integration]](v, nil, "projects", v.project.ID, "integrations")
	if err != nil {
		return view{}, err
	}
	for _, i := range integrations.Data {
		one := projectIntegration{Integration: i}
		newest, err := get[wire.Page[wire.Event]](v, url.Values{"provider": {i.Provider}, "limit": {"1"}}, "projects", v.project.ID, "events")
		if err != nil {
			return view{}, err
		}
		if len(newest.Data) > 0 {
			one.Last = &newest.Data[0]
		}
		data.Integrations = append(data.Integrations, one)
		for _, kind := range []string{provider.KindBackfill, provider.KindReconcile} {
			run, err := get[wire.Run](v, nil, "projects", v.project.ID, "integrations", i.Provider, kind)
			if isNotFound(err) {
				continue // there was none yet
			}
			if err != nil {
				return view{}, err
			}
			data.Runs = append(data.Runs, run)
		}
	}
	rejected, err := get[wire.Page[wire.Rejected]](v, url.Values{"limit": {"100"}}, "projects", v.project.ID, "rejected-requests")
	if err != nil {
		return view{}, err
	}
	hourAgo := time.Now().Add(-time.Hour)
	data.Rejected = slices.DeleteFunc(rejected.Data, func(r wire.Rejected) bool { return r.ReceivedAt.Before(hourAgo) })
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
