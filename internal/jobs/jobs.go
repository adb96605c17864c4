// Package jobs runs River. It builds the client and implements what all jobs share: how they are
// requested, how they wait and end, and how they are rescued from a dead process.
//
// # One job for each subject
//
// The jobs that look for work (apply_inbox, relay_changes and repair_mirror for a project, deliver
// for a destination, refresh_users and provision_webhook for a provider of a project, backfill for a run, erase_user for an
// erasure, copy_mirror for a clone) exist at most once per subject. A row of authsync.job_requests records the job:
//
//	       request_job: UPDATE, and insert the job
//	     ┌────────────────────────────────────────────┐
//	     │                                            ▼
//	idle (job_id NULL)                        busy (job_id = the job)──┐ request_job:
//	     ▲                                            │            ▲   │ FOR KEY SHARE, no write
//	     └────────────────────────────────────────────┘            └───┘
//	       Finish: FOR UPDATE, look again, complete the job
//
// Whoever creates work requests a job in the same transaction. If there is one, the request takes
// FOR KEY SHARE on the row, which any number of requesters can hold at the same time. Finish takes
// FOR UPDATE, so it waits for earlier requesters, sees their work when it looks again, and goes
// idle, in the transaction that completes the job, only if there is none. A later requester waits
// for that commit, finds the row idle and inserts the next job. So no request is lost, and no row
// is written while a job exists.
//
// Work in a project database must not be looked for inside a transaction of the control database.
// For such work Release goes idle first and looks afterwards; what it finds is requested like any
// other work. A process that dies in between leaves a job that is rescued, finds that it is no
// longer the row's, and requests once more before it ends.
//
// A job works in time slices: after each it goes to the back of the queue (Yield). It waits by
// snoozing, with the reason as wait_reason in its output, where River UI and SQL show it. A user
// may retry, cancel or delete any job: rescue_jobs notices within a second that a busy subject has
// no job, and a job that is not its row's ends without doing anything.
//
// # Rescue
//
// Each process holds a session advisory lock that identifies its River client. Once a second it
// looks for running jobs of clients whose lock is free, for its own that it is not working on, and
// for those that exceed the maximum run time:
//
//	running ──lock of the client is free in two sweeps──▶ available
//	running ──mine, but not at work here──────────────▶ available   the completer gave up, or the fetch was cut off
//	running ──longer than StuckAfter──────────────────▶ available   a stopped process keeps its lock
//
// A rescue costs no attempt. A process that was only slow continues with a job that another now
// works. Its writes are harmless (because of the mirror's ledger, leases and final outcomes), and
// it cannot end the job: each fetch has its own attempted_at, and fence lets only the holder of the
// current one set the job's state.
package jobs

import "time"

// Schema contains River's tables: the inbox's schema, so that one transaction can hold work and its
// job.
const Schema = "authsync"

const (
	// Timeout limits the work of one job; longer work yields in time.
	Timeout = 30 * time.Second
	// StuckAfter is when a running job is taken from a process that still holds its lock.
	StuckAfter = 45 * time.Second
	// sweepEvery is the interval between rescues.
	sweepEvery = time.Second
	// endedFor is how long a job may have ended here before its end is recorded; River retries that
	// for a few seconds before giving up.
	endedFor = 4 * time.Second
)
