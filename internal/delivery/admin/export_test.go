package admin

// The statements that the tests of plans run.
const (
	SelectKnown           = selectKnown
	ListDeliveries        = listDeliveries
	ListDeliveriesOf      = listDeliveriesOf
	ListDeliveriesInState = listDeliveriesInState
	ListDeliveriesOfType  = listDeliveriesOfType
	FindDelivery          = findDelivery
	SelectHealth          = selectHealth
	SelectHeld            = selectHeld
	SelectConfirmed       = selectConfirmed
)
