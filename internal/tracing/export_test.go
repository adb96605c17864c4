package tracing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/tracing"
)

func TestTheEnvironmentAsksForTraces(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		env    map[string]string
		wanted bool
		err    string
	}{
		"nothing is set": {},
		"a collector":    {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, wanted: true},
		"of traces":      {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, wanted: true},
		"the default":    {env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, wanted: true},
		"none":           {env: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}},
		"disabled":       {env: map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}},
		"its protocol": {
			env:    map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
			wanted: true,
		},
		"another exporter": {env: map[string]string{"OTEL_TRACES_EXPORTER": "jaeger"}, err: "OTEL_TRACES_EXPORTER=jaeger: traces are exported by otlp only"},
		"another protocol": {
			env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
			err: "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: set http/protobuf, which collectors take at port 4318",
		},
	} {
		wanted, err := tracing.Wanted(func(key string) string { return of.env[key] })
		require.Equal(t, of.wanted, wanted, name)
		if of.err == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, of.err, name)
		}
	}
}

// A tracer that is off does nothing, and has no context to hand on.
func TestOff(t *testing.T) {
	t.Parallel()
	var off *tracing.Tracer
	ctx, span := off.Start(t.Context(), "work")
	span.End(true)
	require.False(t, off.On())
	require.Empty(t, tracing.Parent(ctx))
	off.Record(ctx, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracing.Step{Name: "work"}, nil, false)
}

// What is not a context of a sampled trace names no trace.
func TestTraceID(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", tracing.TraceID("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	for _, parent := range []string{
		"", "x", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
	} {
		require.Empty(t, tracing.TraceID(parent), parent)
	}
}
