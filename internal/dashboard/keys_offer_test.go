package dashboard_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/project"
)

// projectsAPI has so many projects.
type projectsAPI int

func (n projectsAPI) ServeAs(w http.ResponseWriter, r *http.Request, _ project.Key) {
	page := wire.Page[wire.Project]{Data: []wire.Project{}}
	if r.URL.Path == "/projects" {
		begin, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		end := min(begin+limit, int(n))
		for i := begin; i < end; i++ {
			page.Data = append(page.Data, wire.Project{ID: fmt.Sprint("id-", i), Name: fmt.Sprint("shop-", i)})
		}
		if end < int(n) {
			next := strconv.Itoa(end)
			page.NextCursor = &next
		}
	}
	text, err := json.Marshal(page)
	if err != nil {
		panic(err) // cannot happen: texts and numbers only
	}
	_, _ = w.Write(text)
}

// A key can be made for each project that there is.
func TestKeysAreOfferedForAllProjects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		projects, offered int
		more              bool
	}{{0, 0, false}, {1101, 1101, false}, {2000, 2000, false}, {2001, 2000, true}} {
		b := setupWith(t, "", projectsAPI(c.projects))
		page := b.get(t, "/keys", b.session(t))
		require.Equal(t, http.StatusOK, page.Code)
		text := page.Body.String()
		require.Equal(t, c.offered, strings.Count(text, ">project shop-"))
		require.Contains(t, text, `<option value="">all projects</option>`)
		require.Equal(t, c.more, strings.Contains(text, "There are more projects than are listed"))
	}
}
