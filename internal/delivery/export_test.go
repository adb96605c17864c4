package delivery

// The statements that the tests of plans run.
const (
	RequestRelayOf    = requestRelay
	RequestDeliveryOf = requestDelivery
)
