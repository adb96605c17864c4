package dashboard

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/retention"
)

// projectForm is the form of a new project.
type projectForm struct {
	Name  string
	Adopt bool
	Fault *problemError
}

// refusal finds a problem that the form which was sent can show: another entry, or another attempt, may help.
func refusal(err error) (*problemError, bool) {
	var refused *problemError
	if !errors.As(err, &refused) || refused.mayBeDone() {
		return nil, false
	}
	switch refused.Status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusServiceUnavailable:
		return refused, true
	default:
		return nil, false
	}
}

func newProject(*visit) (view, error) { return projectFormView(projectForm{}), nil }

func projectFormView(f projectForm) view {
	shown := view{template: "newproject", title: "Create a project", data: f}
	if f.Fault != nil {
		shown.status = f.Fault.Status
	}
	return shown
}

// projectOrder is what a form of a new project asks for.
func (v *visit) projectOrder() map[string]any {
	order := map[string]any{"name": v.entered("name")}
	if url := v.entered("database_url"); url != "" {
		order["database_url"] = url
	}
	if v.entered("adopt") != "" {
		order["adopt"] = true
	}
	return order
}

// enteredProject is the form as it was sent, without the URL, which is a secret, and what is wrong with it.
func (v *visit) enteredProject(refused *problemError) projectForm {
	return projectForm{Name: v.entered("name"), Adopt: v.entered("adopt") != "", Fault: refused}
}

func createProject(v *visit) (done, error) {
	made, err := send[wire.Project](v, http.MethodPost, v.projectOrder(), "projects")
	if refused, ok := refusal(err); ok {
		shown := projectFormView(v.enteredProject(refused))
		return done{shown: &shown}, nil
	}
	return done{page: pathOf("projects", made.ID), notice: "Project " + made.Name + " is created. Connect an identity provider next."}, err
}

func updateProject(v *visit) (done, error) {
	order := map[string]any{}
	for _, field := range []string{"name", "database_url"} {
		if value := v.entered(field); value != "" {
			order[field] = value
		}
	}
	if v.entered("adopt") != "" {
		order["adopt"] = true
	}
	_, err := send[wire.Project](v, http.MethodPatch, order, "projects", v.project.ID)
	return done{page: pathOf("projects", v.project.ID), notice: "The project is changed."}, err
}

// updateRetention sets how long the parts of the project's history are kept; an empty field is the server's default.
func updateRetention(v *visit) (done, error) {
	days := map[string]any{}
	for _, part := range retention.Parts() {
		days[string(part)] = nil
		entered := v.entered("keep_" + string(part))
		if entered == "" {
			continue
		}
		n, err := strconv.Atoi(entered)
		if err != nil {
			return done{}, problemOf(http.StatusUnprocessableEntity, "Nothing was changed: days to keep must be whole numbers.")
		}
		days[string(part)] = n
	}
	_, err := send[wire.Project](v, http.MethodPatch, map[string]any{"keep_days": days}, "projects", v.project.ID)
	return done{page: pathOf("projects", v.project.ID), notice: "The retention is changed."}, err
}

func deleteProject(v *visit) (done, error) {
	if v.entered("name") != v.project.Name {
		return done{}, problemOf(http.StatusUnprocessableEntity, "Nothing was deleted: to delete the project, enter its name, "+v.project.Name+".")
	}
	_, err := send[any](v, http.MethodDelete, nil, "projects", v.project.ID)
	return done{page: "/", notice: "Project " + v.project.Name + " is deleted. Its mirror stays in its database."}, err
}
