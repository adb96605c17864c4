package dashboard

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/project"
)

// KeysPath is the page of the API keys, NewProjectPath the form of a project.
const (
	KeysPath       = "/keys"
	NewProjectPath = "/new-project"
)

// keysData is the page of the API keys.
type keysData struct {
	Keys        []wire.Key
	First, Next string
	// Made was made by the form, and its key is shown now only.
	Made *wire.Key
	// Unlisted says that the keys could not be read.
	Unlisted bool
	// Projects are those that a key can be limited to, and MoreProjects says that not all of them are listed.
	Projects     []wire.Project
	MoreProjects bool
	Roles        []roleChoice
	// Entered is what was entered, and ExpiresOn its day as the browser sent it.
	Entered   wire.KeyOrder
	ExpiresOn string
	Fault     *problemError
}

// roleChoice is a role as the form explains it.
type roleChoice struct{ Value, Text string }

func roleChoices() []roleChoice {
	return []roleChoice{
		{string(project.Admin), "admin: everything, including settings, secrets and keys"},
		{string(project.Operator), "operator: reads, and replays, retries, refreshes, pauses and resumes"},
		{string(project.ReadOnly), "read-only: sees everything, personal data too, and changes nothing"},
	}
}

// ProjectName is the name of a project of the list, or its id.
func (d keysData) ProjectName(id string) string {
	for _, p := range d.Projects {
		if p.ID == id {
			return p.Name
		}
	}
	return id
}

func listKeys(v *visit) (view, error) { return keysView(v, keysData{}) }

// keysView is the page with what a form has led to.
func keysView(v *visit, data keysData) (view, error) {
	query := v.given()
	page, err := get[wire.Page[wire.Key]](v, query, "keys")
	if err == nil {
		data.Projects, data.MoreProjects, err = allProjects(v)
	}
	if err != nil && data.Made == nil { // no later page has the key that was made
		return view{}, err
	}
	data.Unlisted = err != nil
	data.Keys, data.Roles = page.Data, roleChoices()
	data.First, data.Next = otherPages(KeysPath, query, page.NextCursor)
	shown := view{template: "keys", title: "Keys", section: "keys", data: data}
	if data.Fault != nil {
		shown.status = data.Fault.Status
	}
	return shown, nil
}

// Limits of the projects that a form lists.
const (
	projectsAtOnce = 200 // as many as the API gives
	maxProjects    = 2000
)

// allProjects are those that the key may see, in the sequence of the API, and whether there are more.
func allProjects(v *visit) (all []wire.Project, more bool, err error) {
	query := url.Values{"limit": {strconv.Itoa(projectsAtOnce)}}
	for {
		page, err := get[wire.Page[wire.Project]](v, query, "projects")
		if err != nil {
			return nil, false, err
		}
		all = append(all, page.Data...)
		if page.NextCursor == nil || len(all) >= maxProjects {
			return all, page.NextCursor != nil, nil
		}
		query.Set("cursor", *page.NextCursor)
	}
}

func createKey(v *visit) (done, error) {
	role := v.entered("role")
	order := wire.KeyOrder{Name: v.entered("name"), Role: &role}
	if id := v.entered("project_id"); id != "" {
		order.ProjectID = &id
	}
	if day := v.entered("expires_on"); day != "" {
		if _, err := time.Parse(time.DateOnly, day); err == nil {
			day += "T00:00:00Z"
		}
		order.ExpiresAt = &day
	}
	made, err := send[wire.Key](v, http.MethodPost, order, "keys")
	data := keysData{Entered: order, ExpiresOn: v.entered("expires_on")}
	if refused, ok := refusal(err); ok {
		data.Fault = refused
	} else if err != nil {
		return done{}, err
	} else {
		data = keysData{Made: &made}
	}
	shown, err := keysView(v, data)
	return done{shown: &shown}, err
}

func revokeKey(v *visit) (done, error) {
	if _, err := send[any](v, http.MethodDelete, nil, "keys", v.PathValue("key")); err != nil {
		return done{}, err
	}
	return done{page: KeysPath, notice: "The key is revoked. Its sessions in browsers have ended."}, nil
}
