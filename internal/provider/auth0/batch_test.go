package auth0

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// Entries without ids of their own have that of the body, which is computed once, not for each of ten thousand.
func TestABatchComputesItsDigestOnce(t *testing.T) {
	t.Parallel()
	body := []byte(`[{"log_id":null},{"log_id":null}]`)
	doc, err := payload.Parse(body)
	require.NoError(t, err)
	b := batch{d: provider.Message{Body: body}}
	for entry := range doc.Elements() {
		b.add(entry, "")
		b.d.Body = nil // of which there could be no such digest
	}
	sum := sha256.Sum256(body)
	require.Len(t, b.events, 2)
	require.Equal(t, "sha256:"+hex.EncodeToString(sum[:])+"#1", b.events[1].ID)
}
