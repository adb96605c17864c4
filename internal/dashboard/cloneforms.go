package dashboard

import (
	"net/http"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/project"
)

// cloneForm is the form of a clone of a project.
type cloneForm struct {
	projectForm

	Still bool
}

// ofAllProjects is a page with a form that takes a key for all projects: to others it says so, before they fill it in.
func ofAllProjects(show func(*visit) (view, error)) func(*visit) (view, error) {
	return func(v *visit) (view, error) {
		if v.key.ProjectID != nil {
			return view{}, problemOf(http.StatusForbidden, "A clone reads one project and writes to another, which takes a key for all projects; yours is limited to one.")
		}
		return show(v)
	}
}

func newClone(v *visit) (view, error) { return cloneFormView(v, cloneForm{}), nil }

func cloneFormView(v *visit, f cloneForm) view {
	shown := view{template: "newclone", title: "Clone " + v.project.Name, data: f}
	if f.Fault != nil {
		shown.status = f.Fault.Status
	}
	return shown
}

func createClone(v *visit) (done, error) {
	mode := wire.CloneFollowing
	if v.entered("mode") == wire.CloneStill {
		mode = wire.CloneStill
	}
	order := v.projectOrder()
	order["clone_of"] = wire.CloneOf{Project: v.project.ID, Mode: mode}
	made, err := send[wire.Project](v, http.MethodPost, order, "projects")
	if refused, ok := refusal(err); ok {
		shown := cloneFormView(v, cloneForm{projectForm: v.enteredProject(refused), Still: mode == wire.CloneStill})
		return done{shown: &shown}, nil
	}
	return done{page: pathOf("projects", made.ID), notice: "Project " + made.Name + " is created. Its mirror is copied from " + v.project.Name + "."}, err
}

// resyncClone has a clone copied once more in full, and says what it does then.
func resyncClone(v *visit) (done, error) {
	made, err := send[wire.Project](v, http.MethodPut, wire.CloneOrder{Mode: v.entered("mode")}, "projects", v.project.ID, "clone")
	if err != nil {
		return done{}, err
	}
	return done{page: pathOf("projects", v.project.ID), notice: "The mirror is copied once more from " + made.Clone.SourceName + "."}, nil
}

// clonePages adds the pages and forms of clones to a router.
func (d *Dashboard) clonePages(routes *http.ServeMux) {
	const one = ProjectsPath + "/{project}"
	routes.HandleFunc("GET "+one+"/clone", d.page(only(project.Admin, ofAllProjects(newClone))))
	routes.HandleFunc("POST "+one+"/clone", d.act(createClone))
	routes.HandleFunc("POST "+one+"/resync", d.act(resyncClone))
}
