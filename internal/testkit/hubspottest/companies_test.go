package hubspottest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

// ask sends a request to any path of a portal.
func ask(h *hubspottest.HubSpot, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+hubspottest.Token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestCompanies(t *testing.T) {
	t.Parallel()
	h := hubspottest.New(hubspottest.Config{CompanyProperties: map[string]hubspottest.Property{"key": {Unique: true}}})
	create := func(properties string) int {
		return ask(h, "POST", hubspottest.Companies, `{"properties":{`+properties+`}}`).Code
	}
	require.Equal(t, http.StatusBadRequest, create(`"key":"1"`), "neither name nor domain")
	require.Equal(t, http.StatusCreated, create(`"key":"1","name":"Acme"`))
	require.Equal(t, http.StatusBadRequest, create(`"key":"1","name":"Acme"`), "another has that value")
	require.Equal(t, http.StatusCreated, create(`"name":"Acme","domain":"acme.example"`))
	require.Equal(t, http.StatusCreated, create(`"domain":"acme.example"`), "neither is unique")
	require.Equal(t, http.StatusBadRequest, create(`"email":"a@example.com","name":"Acme"`), "that is a property of contacts")

	w := ask(h, "POST", hubspottest.Companies+"/batch/read", `{"idProperty":"key","properties":["key"],"inputs":[{"id":"1"},{"id":"2"}]}`)
	require.Equal(t, http.StatusMultiStatus, w.Code)
	require.Contains(t, w.Body.String(), `"context":{"ids":["2"]}`)
	require.Contains(t, w.Body.String(), `"properties":{"key":"1"}`)
	require.Empty(t, h.Violations())
	ask(h, "POST", hubspottest.Companies+"/batch/read", `{"idProperty":"key","inputs":[{"id":"1"},{"id":"1"}]}`)
	require.Len(t, h.Violations(), 1)
}

func TestAssociations(t *testing.T) {
	t.Parallel()
	h := hubspottest.New(hubspottest.Config{})
	contact, company := h.Add(map[string]string{"email": "a@example.com"}), h.AddCompany(map[string]string{"name": "Acme"})
	pair := []hubspottest.Association{{Contact: contact, Company: company}}
	one := "/crm/v4/objects/contacts/" + contact + "/associations/"
	const batch = "/crm/v4/associations/contacts/companies/batch"

	w := ask(h, "PUT", one+"default/companies/7", "")
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Body.String(), `"INVALID_OBJECT_IDS":["COMPANY=7 is not valid"]`)
	for range 2 {
		require.Equal(t, http.StatusOK, ask(h, "PUT", one+"default/companies/"+company, "").Code)
		require.Equal(t, pair, h.Associations())
	}
	require.Equal(t, http.StatusNoContent, ask(h, "DELETE", one+"companies/"+company, "").Code)
	require.Empty(t, h.Associations())

	w = ask(h, "POST", batch+"/associate/default", `{"inputs":[{"from":{"id":"`+contact+`"},"to":{"id":"`+company+`"}},{"from":{"id":"7"},"to":{"id":"`+company+`"}}]}`)
	require.Equal(t, http.StatusMultiStatus, w.Code)
	require.Equal(t, pair, h.Associations())
	w = ask(h, "POST", batch+"/archive", `{"inputs":[{"from":{"id":"`+contact+`"},"to":[{"id":"`+company+`"},{"id":"7"}]}]}`)
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Equal(t, pair, h.Associations())
	require.Empty(t, h.Violations())

	into := h.AddCompany(map[string]string{"name": "Merged"})
	h.MergeCompany(company, into)
	require.Equal(t, []hubspottest.Association{{Contact: contact, Company: into}}, h.Associations())
	require.Equal(t, http.StatusNoContent, ask(h, "DELETE", one+"companies/"+company, "").Code, "by its former id")
	require.Empty(t, h.Associations())

	h.SetTokens(map[string][]string{hubspottest.Token: {hubspottest.WriteScope}})
	w = ask(h, "PUT", one+"default/companies/"+into, "")
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Contains(t, w.Body.String(), hubspottest.CompanyWriteScope)
}
