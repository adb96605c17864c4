package receiver

import (
	"errors"
	"net/http"

	"github.com/authsync/authsync/internal/provider"
)

// The reasons of answers other than 204, as used in the log, metrics and rejected_requests.
const (
	accepted = "accepted"

	reasonMethod        = "method_not_allowed"
	reasonNoPath        = "path_unknown"
	reasonNoProvider    = "provider_unknown"
	reasonNoProject     = "project_unknown"
	reasonNoIntegration = "integration_missing"
	reasonDirectory     = "directory_unavailable"

	reasonCompressed = "body_compressed"
	reasonTooLarge   = "body_too_large"
	reasonTooSlow    = "body_too_slow"
	reasonCutOff     = "body_cut_off"
	reasonNoMemory   = "memory_full"
	reasonNotJSON    = "body_not_json"
	reasonTooMany    = "too_many_events"

	reasonNoSecret    = "secret_not_set"
	reasonMissing     = "signature_missing"
	reasonMalformed   = "signature_malformed"
	reasonMismatch    = "signature_mismatch"
	reasonOtherSecret = "secret_of_other_integration"
	reasonFormat      = "signature_format_not_accepted"
	reasonTooOld      = "timestamp_too_old"
	reasonTooNew      = "timestamp_too_new"
	reasonKeys        = "public_keys_unavailable"

	reasonInboxFull = "inbox_full"
	reasonNotStored = "not_stored"
	reasonQuota     = "storage_quota_exceeded"
)

// explain returns the reason for an error of Verify, and advice for the sender's operator.
func explain(err error) (reason, advice string) {
	const clocks = "Compare the clocks of this server and of the sender; a recorded request can't be sent again."
	switch {
	case errors.Is(err, provider.ErrNoSecret):
		return reasonNoSecret, "Set credentials.webhook_signing_secret of the integration to the secret that the provider signs with."
	case errors.Is(err, provider.ErrMissingSignature):
		return reasonMissing, "Check that the provider is set up to authenticate, and that no proxy removes the header."
	case errors.Is(err, provider.ErrTooOld):
		return reasonTooOld, clocks
	case errors.Is(err, provider.ErrTooNew):
		return reasonTooNew, clocks
	case errors.Is(err, provider.ErrFormat):
		return reasonFormat, "Have it signed in another format, or change what the integration accepts."
	case errors.Is(err, provider.ErrMalformed):
		return reasonMalformed, "Check that the URL is set up for the right provider."
	default:
		return reasonMismatch, "Compare the provider's secret with the integration's webhook_signing_secret, " +
			"and check that no proxy changes the body."
	}
}

// unavailable is the answer to every temporary problem.
func unavailable(reason string, err error) answer {
	return answer{
		status: http.StatusServiceUnavailable, reason: reason, cause: err,
		detail: "The message could not be stored just now. Nothing is wrong with it: send it again.",
	}
}
