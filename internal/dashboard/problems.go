package dashboard

import (
	"net/url"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/watch"
)

// maxProblems is how many problems a page shows; the newest come first.
const maxProblems = 50

// foundProblems lists the open problems that authsync found: of the project of the visit, or of all that the key may see.
func foundProblems(v *visit) ([]wire.Problem, error) {
	segments := []string{"problems"}
	if v.project != nil {
		segments = []string{"projects", v.project.ID, "problems"}
	}
	page, err := get[wire.Page[wire.Problem]](v, url.Values{"state": {watch.StateOpen}, "limit": {strconv.Itoa(maxProblems)}}, segments...)
	return page.Data, err
}

// noted are the kinds that problemsOf names by itself, from what it reads at this moment.
func noted() []string {
	return []string{
		watch.Lag, watch.FailedShare, watch.RequestsRejected, watch.DestinationStopped, watch.DestinationFailing, watch.SyncRunFailed,
	}
}

// foundOf makes entries of the home page of what authsync found: those of the server first.
func foundOf(found []wire.Problem) (of map[uuid.UUID][]openProblem, server []openProblem) {
	of = make(map[uuid.UUID][]openProblem)
	for _, p := range found {
		if slices.Contains(noted(), p.Kind) {
			continue
		}
		problem := openProblem{What: p.Detail + ".", Do: "Next: " + p.NextStep}
		if p.ProjectID == nil {
			server = append(server, problem)
			continue
		}
		id, err := uuid.Parse(*p.ProjectID)
		if err != nil {
			continue
		}
		problem.Project = wire.Project{ID: *p.ProjectID, Name: text(p.Project)}
		of[id] = append(of[id], problem)
	}
	return of, server
}
