package dashboard

import (
	"fmt"
	"net/url"
	"slices"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/ingest/usage"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// homeData is the home page.
type homeData struct {
	Projects []homeProject
	Problems []openProblem
	// First says that it is the first page of the projects.
	First bool
	Next  string
	// MayCreate says that the key may create projects.
	MayCreate bool
}

// homeProject is a row of the projects.
type homeProject struct {
	wire.Project
	overview

	Plot *messagePlot // nil: nothing was received
}

// openProblem is something that will not mend itself, and what to do.
type openProblem struct {
	Project wire.Project
	What    string
	Why     string
	Do      string
	Command string
	Link    string // empty: none
}

func (d *Dashboard) home(v *visit) (view, error) {
	query := v.given()
	projects, err := get[wire.Page[wire.Project]](v, query, "projects")
	if err != nil {
		return view{}, err
	}
	ids := make([]uuid.UUID, len(projects.Data))
	for i, p := range projects.Data {
		if ids[i], err = uuid.Parse(p.ID); err != nil {
			return view{}, fmt.Errorf("read the projects: %w", err)
		}
	}
	now := d.config.Now()
	overviews, err := readOverviews(v.Context(), d.config.Views, ids, now)
	if err != nil {
		return view{}, err
	}
	problems, err := foundProblems(v)
	if err != nil {
		return view{}, err
	}
	watched, server := foundOf(problems)
	data := homeData{First: !query.Has("cursor"), MayCreate: v.key.ProjectID == nil && v.key.May(project.Admin), Problems: server}
	for i, p := range projects.Data {
		o := *overviews[ids[i]]
		found := slices.Concat(problemsOf(p, o), watched[ids[i]])
		o.Problems = len(found)
		data.Projects = append(data.Projects, homeProject{p, o, messagePlotOf(usage.LastDay(ids[i], o.Counts, now), now)})
		data.Problems = append(data.Problems, found...)
	}
	if projects.NextCursor != nil {
		data.Next = "/?" + url.Values{"cursor": {*projects.NextCursor}}.Encode()
	}
	shown := view{template: "home", title: "Projects", data: data}
	if data.First {
		shown.projects = &projects
	}
	return shown, nil
}

// problemsOf names the open problems of a project.
func problemsOf(p wire.Project, o overview) (problems []openProblem) {
	page := pathOf("projects", p.ID)
	note := func(problem openProblem) {
		problem.Project = p
		problems = append(problems, problem)
	}
	if o.Integrations == 0 {
		note(openProblem{
			What: "No identity provider is connected.", Do: "Connect one; the answer has the webhook URL.",
			Command: "authsync integrations set " + p.Name + " clerk", Link: page,
		})
	}
	if o.Overdue != nil {
		problem := openProblem{
			What: counted(o.Overdue.Messages, "message") + " overdue, the oldest for " + age(o.Overdue.Oldest) + ".",
			Do:   "See whether a worker runs, and the reasons of the events.", Command: "authsync doctor", Link: page + "/events?outcome=pending",
		}
		if o.WaitReason != nil {
			problem.Why, problem.Do = *o.WaitReason, "Remove this cause; applying then continues by itself."
		}
		note(problem)
	}
	if o.Failed > 0 {
		note(openProblem{
			What: o.FailedText() + " failed.", Do: "Read the reason and remove it, then replay them.",
			Command: "authsync events replay " + p.Name + " --outcome failed", Link: page + "/events?outcome=failed",
		})
	}
	for _, r := range o.Rejected {
		note(openProblem{
			What: plural.Of(r.LastHour, "request") + " of " + provider.Title(r.Provider) + " rejected in the last hour.", Why: r.Detail,
			Do: "See the rejected requests.", Link: page + "#rejected",
		})
	}
	for _, d := range o.Destinations {
		problem := openProblem{Link: pathOfDestination(p.ID, d.Name, d.ID.String())}
		if d.State == "active" && d.StateReason != nil {
			note(openProblem{
				What: "Destination " + d.Name + " has a notice.", Why: *d.StateReason, Link: problem.Link,
				Do: "See to it, then take the notice away.", Command: "authsync destinations resume " + p.Name + " " + d.Name,
			})
		}
		switch {
		case d.State != "active" && d.StateBy == "system":
			problem.What, problem.Why = "authsync has set destination "+d.Name+" to "+d.State+".", text(d.StateReason)
			problem.Do, problem.Command = "Remove the cause, then resume it.", "authsync destinations resume "+p.Name+" "+d.Name
		case d.State == "active" && d.BreakerOpenUntil != nil:
			problem.What = "Destination " + d.Name + " keeps failing; deliveries to it wait."
			problem.Do, problem.Command = "See what it answers.", "authsync deliveries list "+p.Name+" --destination "+d.Name+" --state retrying"
		case d.Failed:
			problem.What = "Deliveries to destination " + d.Name + " failed."
			problem.Link = withQuery(page+"/deliveries", "destination", d.Name, "state", "failed")
			problem.Do, problem.Command = "See why, then retry them.", "authsync deliveries list "+p.Name+" --destination "+d.Name+" --state failed"
		default:
			continue
		}
		note(problem)
	}
	for _, r := range o.Runs {
		note(openProblem{
			What: "The last " + r.Kind + " from " + provider.Title(r.Provider) + " failed.", Why: r.Why,
			Do: "Remove the cause, then start it again.", Command: "authsync " + r.Kind + " " + p.Name + " " + r.Provider, Link: page + "#runs",
		})
	}
	return problems
}
