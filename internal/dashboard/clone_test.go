package dashboard_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// The page of a clone says where its records come from, and how far it is.
func TestThePageOfAClone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p, err := s.Store.CloneProject(t.Context(), project.CloneInput{
		NewProject: project.NewProject{Name: "preview", DatabaseURL: pgtest.URL(t, pgtest.Empty(t))}, Source: s.other.ID, Mode: project.CloneStill,
	})
	require.NoError(t, err)
	var page *page
	waittest.Until(t, func() bool {
		page = s.get(t, "/projects/"+p.ID.String(), s.all)
		return strings.Contains(page.words, "It stands still: as other was at")
	})
	require.Contains(t, page.text, `<a href="/projects/`+s.other.ID.String()+`">other</a>`)
	require.Contains(t, page.words, "No identity provider is connected: the records come from project other.")
	require.NotContains(t, s.get(t, s.path(), s.all).words, "Clone")
}
