package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestKeysAreMadeListedAndRevoked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	made := b.call(t, http.MethodPost, "/keys", `{"name": "deploy", "test": true, "project_id": "shop"}`)
	require.Equal(t, http.StatusCreated, made.status, made.text)
	require.Equal(t, shop.ID.String(), made.body["project_id"])
	secret, _ := made.body["key"].(string)
	require.Regexp(t, "^capy_test_", secret)
	require.Equal(t, http.StatusOK, b.callWith(t, secret, http.MethodGet, "/projects/shop", "").status)

	keys := b.call(t, http.MethodGet, "/keys", "")
	require.Len(t, keys.data(t), 2)
	require.NotContains(t, keys.text, secret)
	require.NotContains(t, keys.text, `"key":`)

	id, _ := made.body["id"].(string)
	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, "/keys/"+id, "").status)
	require.Equal(t, http.StatusUnauthorized, b.callWith(t, secret, http.MethodGet, "/projects/shop", "").status)
	b.call(t, http.MethodDelete, "/keys/"+uuid.NewString(), "").refused(t, http.StatusNotFound, "no key of this id")
	b.call(t, http.MethodDelete, "/keys/"+secret, "").refused(t, http.StatusNotFound, "no key of this id")
	b.call(t, http.MethodPost, "/keys", `{"name": " "}`).refused(t, http.StatusUnprocessableEntity, "1 to 100")
	b.call(t, http.MethodPost, "/keys", `{"name": "x", "project_id": "gone"}`).refused(t, http.StatusUnprocessableEntity, "no project of this id or name")
}
