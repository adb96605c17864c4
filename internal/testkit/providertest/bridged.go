package providertest

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

// Bridge puts an event into an envelope of Amazon EventBridge.
func Bridge(event []byte) []byte {
	return fmt.Appendf(nil, `{"version":"0","id":"6a7e8feb-b491-4cf7-a9f1-bf3703467718","detail-type":"of the envelope","source":"aws.partner/auth0.com/harbour/authsync",`+
		`"account":"111122223333","time":"2026-05-04T10:19:00Z","region":"eu-west-1","resources":[],"detail":%s}`, event)
}

// envelopesAreTakenOff: an event is the same in an envelope of Amazon EventBridge, alone or in an array of several, and is
// verified and stored like any other.
func envelopesAreTakenOff(t *testing.T, s Subject) {
	t.Helper()
	if !s.Bridged {
		return
	}
	for _, typ := range []string{"user.created", "user.updated", "user.deleted"} {
		header, body := s.sign(t, provider.Sample{Type: typ, ID: "event-1", UserID: "user-1", At: ReceivedAt()}, s.Secrets[0])
		want := s.Provider.Decode(provider.Message{ReceivedAt: ReceivedAt(), Body: body}, s.Options)
		require.Len(t, want, 1)
		require.Equal(t, provider.Apply, want[0].Verdict, want[0].Reason)
		require.Equal(t, want, s.stored(t, header, Bridge(body)))

		other := strings.ReplaceAll(string(body), "event-1", "event-2")
		several := s.stored(t, header, []byte("["+string(Bridge(body))+","+other+","+string(Bridge([]byte(other)))+"]"))
		require.Len(t, several, 3)
		require.Equal(t, want[0], several[0])
		several[1].Ordinal, several[2].Ordinal = 0, 0
		require.Equal(t, several[1], several[2])
		require.Equal(t, "event-2", several[1].ID)
	}
}

// stored decodes what is stored of a body, where the signature does not cover it.
func (s Subject) stored(t *testing.T, header http.Header, body []byte) []provider.Event {
	t.Helper()
	v := s.verifier(t, s.Secrets[0])
	if !s.SignsBody {
		_, err := v.Verify(header, body, ReceivedAt())
		require.NoError(t, err)
	}
	require.NoError(t, v.ValidBody(body))
	kept, _ := v.Redact(body)
	events := s.Provider.Decode(provider.Message{ReceivedAt: ReceivedAt(), Body: kept}, s.Options)
	RequireValid(t, events)
	return events
}

// BridgedFixtures decodes each fixture in testdata that is an event with an id and a time of its own once more in an envelope of
// Amazon EventBridge: what comes out is the same.
func BridgedFixtures(t *testing.T, p provider.Provider) {
	t.Helper()
	testdata := os.DirFS("testdata")
	paths, err := fs.Glob(testdata, "*.json")
	require.NoError(t, err)
	compared := 0
	for _, path := range paths {
		body, err := fs.ReadFile(testdata, path)
		require.NoError(t, err)
		if strings.HasSuffix(path, ".events.json") || body[0] != '{' {
			continue
		}
		d := provider.Message{ReceivedAt: ReceivedAt(), Body: body}
		want := p.Decode(d, provider.Options{})
		if want[0].IDIsDigest || want[0].SentAt.Equal(ReceivedAt()) || strings.Contains(string(body), `"detail-type"`) {
			continue // what an event lacks is the envelope's, and EventBridge puts in one envelope
		}
		d.Body = Bridge(body)
		require.Equal(t, want, p.Decode(d, provider.Options{}), path)
		compared++
	}
	require.Greater(t, compared, 10)
}
