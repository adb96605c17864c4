package api

import "net/http"

// code names a kind of problem for programs. docs/openapi.yaml lists them; a test
// compares the lists.
type code string

// The codes of problems. 400 says that a request cannot be read at all. What can be read
// and is wrong, be it a name or a value, is a 422 with one of the errors for each field.
const (
	malformedRequest code = "malformed_request"

	unauthenticated code = "unauthenticated"
	keyLimited      code = "key_limited_to_project"

	pathNotFound        code = "path_not_found"
	projectNotFound     code = "project_not_found"
	providerNotFound    code = "provider_not_found"
	integrationNotFound code = "integration_not_found"
	runNotFound         code = "run_not_found"
	eventNotFound       code = "event_not_found"
	userNotFound        code = "user_not_found"
	changeNotFound      code = "change_not_found"
	destinationNotFound code = "destination_not_found"
	deliveryNotFound    code = "delivery_not_found"
	streamNotFound      code = "stream_not_found"
	keyNotFound         code = "key_not_found"

	methodNotAllowed code = "method_not_allowed"

	nameTaken            code = "name_taken"
	databaseExists       code = "database_exists"
	runUnfinished        code = "run_unfinished"
	wrongState           code = "wrong_state"
	redeliveryUnderWay   code = "redelivery_under_way"
	idempotencyInUse     code = "idempotency_key_in_use"
	idempotencyUnknown   code = "idempotency_outcome_unknown"
	bodyTooLarge         code = "body_too_large"
	invalidRequest       code = "invalid_request"
	idempotencyReused    code = "idempotency_key_reused"
	databaseUnusable     code = "database_unusable"
	notPossible          code = "not_possible"
	credentialsRefused   code = "credentials_refused"
	rowRefused           code = "row_refused"
	tooManyRequests      code = "too_many_requests"
	internalError        code = "internal_error"
	encryptionKeyMissing code = "encryption_key_missing"
	providerError        code = "provider_error"
	providerUnavailable  code = "provider_unavailable"
	projectDatabaseAway  code = "project_database_unavailable"
	controlDatabaseAway  code = "unavailable"
	requestAbandoned     code = "request_abandoned"
)

// status is the one table from codes to statuses.
func (c code) status() int {
	switch c {
	case malformedRequest:
		return http.StatusBadRequest
	case unauthenticated:
		return http.StatusUnauthorized
	case keyLimited:
		return http.StatusForbidden
	case pathNotFound, projectNotFound, providerNotFound, integrationNotFound, runNotFound, eventNotFound, userNotFound,
		changeNotFound, destinationNotFound, deliveryNotFound, streamNotFound, keyNotFound:
		return http.StatusNotFound
	case methodNotAllowed:
		return http.StatusMethodNotAllowed
	case nameTaken, databaseExists, runUnfinished, wrongState, redeliveryUnderWay, idempotencyInUse, idempotencyUnknown:
		return http.StatusConflict
	case bodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case invalidRequest, idempotencyReused, databaseUnusable, notPossible, credentialsRefused, rowRefused:
		return http.StatusUnprocessableEntity
	case tooManyRequests:
		return http.StatusTooManyRequests
	case providerError:
		return http.StatusBadGateway
	case providerUnavailable, projectDatabaseAway, controlDatabaseAway, requestAbandoned:
		return http.StatusServiceUnavailable
	case internalError, encryptionKeyMissing:
	}
	return http.StatusInternalServerError
}
