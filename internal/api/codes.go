package api

import (
	"net/http"

	"github.com/authsync/authsync/internal/fault"
)

// The codes that only HTTP has; those of package fault come beside them. 400 means that a request
// cannot be read at all. What can be read and is wrong, be it a name or a value, is a 422 with one
// of the errors for each field.
const (
	malformedRequest fault.Code = "malformed_request"

	unauthenticated  fault.Code = "unauthenticated"
	keyLimited       fault.Code = "key_limited_to_project"
	insufficientRole fault.Code = "insufficient_role"

	pathNotFound     fault.Code = "path_not_found"
	providerNotFound fault.Code = "provider_not_found"
	methodNotAllowed fault.Code = "method_not_allowed"

	idempotencyInUse   fault.Code = "idempotency_key_in_use"
	idempotencyUnknown fault.Code = "idempotency_outcome_unknown"
	idempotencyReused  fault.Code = "idempotency_key_reused"

	bodyTooLarge         fault.Code = "body_too_large"
	tooManyRequests      fault.Code = "too_many_requests"
	internalError        fault.Code = "internal_error"
	encryptionKeyMissing fault.Code = "encryption_key_missing"
	projectDatabaseAway  fault.Code = "project_database_unavailable"
	requestAbandoned     fault.Code = "request_abandoned"
)

// statuses is the one table from codes to statuses.
var statuses = map[fault.Code]int{ //nolint:gochecknoglobals // a constant, if Go had such
	malformedRequest: http.StatusBadRequest,

	unauthenticated:  http.StatusUnauthorized,
	keyLimited:       http.StatusForbidden,
	insufficientRole: http.StatusForbidden,

	pathNotFound:              http.StatusNotFound,
	providerNotFound:          http.StatusNotFound,
	fault.ProjectNotFound:     http.StatusNotFound,
	fault.IntegrationNotFound: http.StatusNotFound,
	fault.RunNotFound:         http.StatusNotFound,
	fault.EventNotFound:       http.StatusNotFound,
	fault.UserNotFound:        http.StatusNotFound,
	fault.RecordNotFound:      http.StatusNotFound,
	fault.ChangeNotFound:      http.StatusNotFound,
	fault.DestinationNotFound: http.StatusNotFound,
	fault.DeliveryNotFound:    http.StatusNotFound,
	fault.StreamNotFound:      http.StatusNotFound,
	fault.KeyNotFound:         http.StatusNotFound,
	fault.ErasureNotFound:     http.StatusNotFound,
	methodNotAllowed:          http.StatusMethodNotAllowed,

	fault.NameTaken:          http.StatusConflict,
	fault.DatabaseExists:     http.StatusConflict,
	fault.RunUnfinished:      http.StatusConflict,
	fault.WrongState:         http.StatusConflict,
	fault.RedeliveryUnderWay: http.StatusConflict,
	idempotencyInUse:         http.StatusConflict,
	idempotencyUnknown:       http.StatusConflict,

	bodyTooLarge:             http.StatusRequestEntityTooLarge,
	fault.Invalid:            http.StatusUnprocessableEntity,
	idempotencyReused:        http.StatusUnprocessableEntity,
	fault.DatabaseUnusable:   http.StatusUnprocessableEntity,
	fault.Unsupported:        http.StatusUnprocessableEntity,
	fault.CredentialsRefused: http.StatusUnprocessableEntity,
	fault.AccountMismatch:    http.StatusConflict,
	fault.RowRefused:         http.StatusUnprocessableEntity,
	tooManyRequests:          http.StatusTooManyRequests,

	internalError:             http.StatusInternalServerError,
	encryptionKeyMissing:      http.StatusInternalServerError,
	fault.ProviderError:       http.StatusBadGateway,
	fault.ProviderUnavailable: http.StatusServiceUnavailable,
	projectDatabaseAway:       http.StatusServiceUnavailable,
	fault.Unavailable:         http.StatusServiceUnavailable,
	requestAbandoned:          http.StatusServiceUnavailable,
}

func statusOf(code string) int {
	if status, known := statuses[fault.Code(code)]; known {
		return status
	}
	return http.StatusInternalServerError
}
