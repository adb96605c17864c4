package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A preview runs expressions that nobody stored, so that none of them is ever halted: a project has one at a time.
func TestAProjectPreviewsOneRequestAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, other := b.project(t, "shop"), b.project(t, "other")
	const preview = "/integrations/workos/preview"
	leave, ok := b.handler.Previewing(shop.ID.String())
	require.True(t, ok)
	r := b.call(t, http.MethodPost, "/projects/shop"+preview, `{"body": "{}"}`)
	require.Equal(t, http.StatusTooManyRequests, r.status, r.body)
	require.Equal(t, http.StatusOK, b.call(t, http.MethodPost, "/projects/"+other.ID.String()+preview, `{"body": "{}"}`).status)
	leave()
	require.Equal(t, http.StatusOK, b.call(t, http.MethodPost, "/projects/shop"+preview, `{"body": "{}"}`).status)
	require.Equal(t, http.StatusOK, b.call(t, http.MethodPost, "/projects/shop"+preview, `{"body": "{}"}`).status, "it is counted out")
}
