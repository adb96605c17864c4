package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Wanted reports whether the environment asks for traces: by the address of a collector (OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or by OTEL_TRACES_EXPORTER=otlp. OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none
// switch them off. An error names what cannot be done.
func Wanted(lookup func(string) string) (bool, error) {
	value := func(name string) string { return strings.TrimSpace(lookup(name)) }
	if strings.EqualFold(value("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	exporter := strings.ToLower(value("OTEL_TRACES_EXPORTER"))
	switch exporter {
	case "", "otlp":
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER=%s: traces are exported by otlp only; set otlp or none", exporter)
	}
	if exporter == "" && value("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return false, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch protocol := value(name); protocol {
		case "":
			continue
		case "http/protobuf":
			return true, nil
		default:
			return false, fmt.Errorf("%s=%s: set http/protobuf, which collectors take at port 4318", name, protocol)
		}
	}
	return true, nil
}

// Start returns a tracer that exports as the environment says (OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_BSP_*,
// OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME; see the specification of OpenTelemetry's SDK), or nil if it asks for no
// traces; see Wanted. Exporting is in the background: a collector that is down or slow costs spans, never time. stop exports
// what is left, until its context ends.
func Start(ctx context.Context, lookup func(string) string, version string, log *slog.Logger) (
	t *Tracer, stop func(context.Context) error, err error,
) {
	none := func(context.Context) error { return nil }
	wanted, err := Wanted(lookup)
	if err != nil || !wanted {
		return nil, none, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, none, fmt.Errorf("make the exporter of traces: %w", err)
	}
	// The SDK has one handler of errors per process, such as of an unreachable collector.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.WarnContext(context.WithoutCancel(ctx), "traces_not_exported", slog.Any("error", err))
	}))
	described, err := resource.New(ctx,
		resource.WithAttributes(String("service.name", "authsync"), String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv(),
	)
	if err != nil {
		return nil, none, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	t = New(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	return t, t.provider.Shutdown, nil
}

// New returns a tracer with the options of the SDK.
func New(options ...sdktrace.TracerProviderOption) *Tracer {
	provider := sdktrace.NewTracerProvider(options...)
	return &Tracer{tracer: provider.Tracer(scope), provider: provider}
}
