package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/docs"
)

// Where the description of the API is, behind Prefix. It takes no key.
const (
	descriptionYAML = "/openapi.yaml"
	descriptionJSON = "/openapi.json"
)

// describeItself serves docs/openapi.yaml, as it is and as JSON.
func (a *API) describeItself() {
	inJSON := sync.OnceValues(func() ([]byte, error) {
		var document map[string]any
		if err := yaml.Unmarshal(docs.OpenAPI, &document); err != nil {
			return nil, fmt.Errorf("read the description: %w", err)
		}
		return json.Marshal(document)
	})
	serve := func(path, contentType string, text func() ([]byte, error)) {
		a.router.HandleFunc(Prefix+path, func(w http.ResponseWriter, r *http.Request) {
			body, err := text()
			if err != nil {
				writeError(w, r, err)
				return
			}
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Cache-Control", "no-cache")
			_, _ = w.Write(body) // the caller may be gone; there is nobody to tell
		}).Methods(http.MethodGet)
	}
	serve(descriptionYAML, "application/yaml", func() ([]byte, error) { return docs.OpenAPI, nil })
	serve(descriptionJSON, "application/json", inJSON)
}
