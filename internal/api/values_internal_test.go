package api

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

// waiting is a provider whose worker is never to be had.
type waiting struct{ provider.Provider }

func (waiting) DecodeContext(ctx context.Context, _ provider.Message, _ provider.Options) ([]provider.Event, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Decode is for callers that cannot wait.
func (waiting) Decode(provider.Message, provider.Options) []provider.Event {
	return make([]provider.Event, 1)
}

// A person who looks at a record waits for its mapping no longer than the request's context, and sees the rest.
func TestAMappingThatCannotRunLeavesItsEventOut(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Empty(t, decoder{kind: waiting{}}.decode(ctx, provider.Message{}))
}

// crashing is a provider whose decoder panics.
type crashing struct{ provider.Provider }

func (crashing) Decode(provider.Message, provider.Options) []provider.Event { panic("a bug") }

func TestADecoderThatCrashesLeavesItsEventOut(t *testing.T) {
	t.Parallel()
	require.Empty(t, decoder{kind: crashing{}}.decode(t.Context(), provider.Message{}))
}
