package providertest

import (
	"io/fs"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

// FuzzDecode decodes any bytes, beginning with the fixtures in testdata, where
// all record types are mirrored: it must not panic, and what comes out must keep the promises of provider.Event.
func FuzzDecode(f *testing.F, p provider.Provider) {
	f.Helper()
	testdata := os.DirFS("testdata")
	paths, err := fs.Glob(testdata, "*.json")
	require.NoError(f, err)
	require.NotEmpty(f, paths)
	for _, path := range paths {
		body, err := fs.ReadFile(testdata, path)
		require.NoError(f, err)
		f.Add(body, "msg_1", false)
		f.Add(body, "", true)
	}
	f.Fuzz(func(t *testing.T, body []byte, deliveryID string, clears bool) {
		o := provider.Options{AbsentFields: provider.KeepAbsent, RecordTypes: everything()}
		if clears {
			o.AbsentFields = provider.ClearAbsent
		}
		d := provider.Message{MessageID: deliveryID, ReceivedAt: ReceivedAt(), Body: slices.Clone(body)}
		events := p.Decode(d, o)
		require.Equal(t, body, d.Body, "the body is only read")
		RequireValid(t, events)
		require.Equal(t, events, p.Decode(d, o), "the same delivery gives the same events")
	})
}

// BenchmarkDecode decodes a user.updated of the size that the provider sends.
func BenchmarkDecode(b *testing.B, p provider.Provider, c provider.Credentials) {
	b.Helper()
	_, body, err := p.Sign(benchmarked(), c, provider.Options{}, ReceivedAt())
	require.NoError(b, err)
	d := provider.Message{MessageID: "msg_1", ReceivedAt: ReceivedAt(), Body: body}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		p.Decode(d, provider.Options{})
	}
}

// BenchmarkVerify verifies and checks the body of the same request.
func BenchmarkVerify(b *testing.B, p provider.Provider, c provider.Credentials) {
	b.Helper()
	header, body, err := p.Sign(benchmarked(), c, provider.Options{}, ReceivedAt())
	require.NoError(b, err)
	v, err := p.NewVerifier(c, provider.Options{})
	require.NoError(b, err)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(header, body, ReceivedAt()); err != nil {
			b.Fatal(err)
		}
		if err := v.ValidBody(body); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarked is a sample whose body has some 1.4 kB, as real ones do.
func benchmarked() provider.Sample {
	return provider.Sample{Type: "user.updated", At: ReceivedAt(), Set: map[string]any{
		"user_metadata": map[string]any{"notes": []string{
			"likes the lighthouse at the end of the northern pier", "came by the ferry of half past nine",
			"wants to be told of storms, never of sunshine", "keeps the second key with the harbour master",
		}, "theme": "dark", "beta": []int{1, 2, 3, 5, 8}},
	}}
}
