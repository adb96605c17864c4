package client

import "github.com/authsync/authsync/internal/api/wire"

// MaxPauseReason is how long the reason of a pause may be, in bytes.
const MaxPauseReason = wire.MaxPauseReason

// The states of a Clone. The latter two are its modes, too.
const (
	CloneCopying   = wire.CloneCopying
	CloneFollowing = wire.CloneFollowing
	CloneStill     = wire.CloneStill
)

// The documents of the API; package wire documents each.

type (
	Project            = wire.Project
	KeepDays           = wire.KeepDays
	Retention          = wire.Retention
	Pruning            = wire.Pruning
	Clone              = wire.Clone
	CloneOf            = wire.CloneOf
	CloneOrder         = wire.CloneOrder
	Integration        = wire.Integration
	CredentialState    = wire.CredentialState
	Pull               = wire.Pull
	VerifyingSecret    = wire.VerifyingSecret
	ProvisionedWebhook = wire.ProvisionedWebhook
	ProvisionStep      = wire.ProvisionStep
	IntegrationConfig  = wire.IntegrationConfig
	ReconcileSchedule  = wire.ReconcileSchedule
	BackfillStart      = wire.BackfillStart
	Key                = wire.Key
	KeyOrder           = wire.KeyOrder
	AuditEntry         = wire.AuditEntry
	Reader             = wire.Reader
	Grant              = wire.Grant

	Event    = wire.Event
	Job      = wire.Job
	Message  = wire.Message
	Rejected = wire.Rejected

	Problem = wire.Problem

	Source     = wire.Source
	Change     = wire.Change
	ListedUser = wire.ListedUser
	Repair     = wire.Repair

	Erasure       = wire.Erasure
	ErasureAnswer = wire.ErasureAnswer
	CloneErasure  = wire.CloneErasure

	Record       = wire.Record[map[string]any]
	ListedRecord = wire.ListedRecord[map[string]any]

	Destination     = wire.Destination
	SecretState     = wire.SecretState
	MadeSecret      = wire.MadeSecret
	PauseOrder      = wire.PauseOrder
	RotateOrder     = wire.RotateOrder
	PreviewOrder    = wire.PreviewOrder
	Preview         = wire.Preview
	Request         = wire.Request
	TestOrder       = wire.TestOrder
	TestResult      = wire.TestResult
	ReplayOrder     = wire.ReplayOrder
	Replayed        = wire.Replayed
	Delivery        = wire.Delivery
	DeliveryDetail  = wire.DeliveryDetail
	ConfirmOrder    = wire.ConfirmOrder
	Confirmed       = wire.Confirmed
	DeliveryAttempt = wire.DeliveryAttempt
	SentRequest     = wire.SentRequest
	DeliveryPreview = wire.DeliveryPreview
	RecordValues    = wire.RecordValues

	Run              = wire.Run
	TypeDrift        = wire.TypeDrift
	Order            = wire.Order
	RedeliverOrder   = wire.RedeliverOrder
	Redelivery       = wire.Redelivery
	RedeliveryStream = wire.RedeliveryStream
)
