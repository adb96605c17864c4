package custom_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/provider/payload"
)

// What is an envelope of Amazon EventBridge to the programs of definitions is one to the other providers.
func TestEnvelopesAreTheSameToAllProviders(t *testing.T) {
	t.Parallel()
	is, err := jq.Compile("envelope", custom.AnEnvelope)
	require.NoError(t, err)
	for body, want := range map[string]bool{
		`{"version":"0","id":"1","detail-type":"x","source":"s","detail":{"type":"y"}}`: true,
		`{"detail":{},"detail-type":null}`:                                              true,
		`{"detail-type":"x","detail":{"a":1},"detail":{"b":2}}`:                         true,
		`{"detail-type":"x","detail":{"a":1},"detail":"text"}`:                          false,
		`{"detail-type":"x","detail":[{}]}`:                                             false,
		`{"detail-type":"x"}`:                                                           false,
		`{"detail":{"detail-type":"x","detail":{}}}`:                                    false,
		`{"data":{"detail-type":"x","detail":{}}}`:                                      false,
		`"\"detail-type\""`:                                                             false,
		`["detail-type",{}]`:                                                            false,
		`{"type":"user.created","data":{}}`:                                             false,
	} {
		v, err := payload.Parse([]byte(body))
		require.NoError(t, err)
		event, bridge := payload.Unwrap(v)
		require.Equal(t, want, bridge != nil, body)
		if bridge == nil {
			require.Equal(t, body, string(event))
		}
		found, _, err := is.One(t.Context(), jq.OfJSON(json.RawMessage(body)))
		require.NoError(t, err)
		require.Equal(t, want, found, body)
	}
}
