package client

import "github.com/authsync/authsync/internal/api/wire"

// The documents of the API; see package wire.
type (
	Project           = wire.Project
	Integration       = wire.Integration
	CredentialState   = wire.CredentialState
	IntegrationConfig = wire.IntegrationConfig
	ReconcileSchedule = wire.ReconcileSchedule
	BackfillStart     = wire.BackfillStart
	Key               = wire.Key
	Reader            = wire.Reader
	Grant             = wire.Grant

	Event    = wire.Event
	Job      = wire.Job
	Message  = wire.Message
	Rejected = wire.Rejected

	User       = wire.User[map[string]any]
	Source     = wire.Source
	Change     = wire.Change
	ListedUser = wire.ListedUser
	Repair     = wire.Repair

	Run              = wire.Run
	Order            = wire.Order
	Redelivery       = wire.Redelivery
	RedeliveryStream = wire.RedeliveryStream
)
