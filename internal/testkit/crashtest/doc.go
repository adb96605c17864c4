// Package crashtest kills authsync and PostgreSQL at random moments under load
// and looks whether a promise broke: what was answered with 2xx has its effect
// exactly once, and every change arrives at the destination. It walks the whole road of a webhook
// (provider → receiver → inbox → applier → mirror → deliveries → destination) with real processes, and
// holds nothing but tests. Beside it, two servers keep the contacts of a simulated CRM in step with users,
// while it fails and they die; and two servers pull what happens at a tenant of Auth0, or what SQL changes in the tables
// of Better Auth.
//
//	go test ./internal/testkit/crashtest -v                     about a hundred seconds
//	go test ./internal/testkit/crashtest -v -short              fewer rounds
//	go test ./internal/testkit/crashtest -v -args -seed 17      the same moments again, as far as moments repeat
package crashtest
