// Package jobs runs River: it builds the client, and it owns what all jobs share: how a
// job is asked for, how it waits, how it ends, and who takes it over from a process
// that died.
//
// # One job for each subject
//
// The jobs that look for work (apply_inbox, relay_changes and repair_mirror for a project, deliver for a
// destination, refresh_users for a provider of a project, backfill for a run) exist once for each subject, or not at all. A row of authsync.job_requests says which:
//
//	       request_job: UPDATE, and insert the job
//	     ┌────────────────────────────────────────────┐
//	     │                                            ▼
//	idle (job_id NULL)                        busy (job_id = the job)──┐ request_job:
//	     ▲                                            │            ▲   │ FOR KEY SHARE, no write
//	     └────────────────────────────────────────────┘            └───┘
//	       Finish: FOR UPDATE, look again, complete the job
//
// Whoever makes work requests a job in the transaction of the work. If there is one, that
// takes FOR KEY SHARE on the row, which any number of requesters hold at the same time. Finish takes
// FOR UPDATE, so it waits for the requesters that were faster, sees their work when it looks
// again, and goes idle in the transaction that completes the job only if there is none. A
// requester that comes later waits for that commit, finds the row idle and makes the next job. So
// no request is lost, and no row is written while a job exists.
//
// Work that lies in a project's database must not be looked for inside a transaction of the
// control database. There, Release goes idle first and looks then; what it finds is requested
// like any work. A process that dies in between leaves a job that is rescued, is not the one of
// the row, and requests once more before it ends.
//
// A job has turns: after a slice of time it is put behind the jobs of others (Yield). It waits by
// a snooze, with the reason as wait_reason in its output, where River UI and SQL show it. A person may
// retry, cancel or delete any job: rescue_jobs notices within a second that a busy subject has no
// job, and a job that is not the one of its row ends without doing anything.
//
// # Rescue
//
// Each process holds a session advisory lock that names its River client. Once a second it
// looks for running jobs of clients whose lock is free, of its own that it does not work, and
// for those that run for longer than any job may:
//
//	running ──lock of the client is free in two sweeps──▶ available
//	running ──mine, but not at work here──────────────▶ available   the completer gave up, or the fetch was cut off
//	running ──longer than StuckAfter──────────────────▶ available   a process that is stopped keeps its lock
//
// The dead cost no attempt. A process that was only slow goes on with a job that another one
// has by now. What it writes is harmless (the mirror's ledger, leases, outcomes that stay as
// they are), and it can't end the job: each fetch has its own attempted_at, and fence lets only the holder
// of the current one set the job's state.
package jobs

import "time"

// Schema is where River's tables are: beside the inbox, so that one transaction holds work and
// its job.
const Schema = "authsync"

const (
	// Timeout bounds the work of one job; those that work longer yield in time.
	Timeout = 30 * time.Second
	// StuckAfter is when a running job is taken from a process that still holds its lock.
	StuckAfter = 45 * time.Second
	// sweepEvery is how often to look for jobs to rescue.
	sweepEvery = time.Second
	// endedFor is how long a job may have ended here without its end being recorded; River retries
	// that for some seconds, and gives up.
	endedFor = 4 * time.Second
)
