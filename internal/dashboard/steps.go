package dashboard

import (
	"fmt"
	"time"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
)

// step is a line of the checklist of an integration. It ticks itself.
type step struct {
	Title string
	State string // done, waiting, failed or optional
	Text  string
	Link  string // empty: none
	// Done and Total are how far it is; Total is 0 where that is not known.
	Done, Total int64
}

// steps are in the sequence in which they are usually done: what reads the existing users comes first, as it takes a while.
// last is the newest message of the provider, and applied the newest one that is in the mirror.
func (d *integrationData) steps(projectID string, last, applied *wire.Event) []step {
	all := []step{d.urlStep(last), d.secretStep(), d.messageStep(projectID, last), d.rowStep(projectID, last, applied)}
	if d.Integration.Pull != nil { // then webhooks are not needed
		for i := range all[:2] {
			if all[i].State == "waiting" {
				all[i].State, all[i].Text = "optional", "Not needed: events are pulled."
			}
		}
		all = append([]step{d.pullStep()}, all...)
	}
	if len(d.Setup.Ways) > 0 {
		all = append([]step{d.accessStep(), d.backfillStep()}, all...)
	}
	return all
}

// CanRead says that what users are read with is stored.
func (d integrationData) CanRead() bool {
	for _, w := range d.Setup.Ways {
		for _, i := range w.Inputs {
			if i.Credential() != "" && d.IsSet(i.Credential()) {
				return true
			}
		}
	}
	return d.run(provider.KindBackfill) != nil
}

// accessStep is done once the provider has let a backfill read something, or come to its end.
func (d *integrationData) accessStep() step {
	s := step{Title: "Let authsync read the users of " + provider.Title(d.Provider), State: "optional", Link: "#read"}
	run := d.run(provider.KindBackfill)
	switch {
	case !d.CanRead():
		s.Text = "Store what it needs for that; until then, users appear with their next change."
	case run == nil:
		s.State, s.Text = "waiting", "It is stored, and is tried by the next backfill."
	case run.State == "done", run.Read > 0:
		s.State, s.Text = "done", provider.Title(d.Provider)+" accepts what is stored."
	case run.State == "failed":
		s.State, s.Text = "failed", text(run.Error)
	default:
		s.State, s.Text = "waiting", "Asking "+provider.Title(d.Provider)+" whether it may…"
	}
	return s
}

func (d *integrationData) pullStep() step {
	p := d.Integration.Pull
	s := step{Title: "Pull events from " + provider.Title(d.Provider), State: "waiting", Link: "#pull", Text: "Waiting for a connection…"}
	switch {
	case p.State == "connected":
		s.State, s.Text = "done", "Events come as they happen."
	case p.WaitReason != nil:
		s.State, s.Text = "failed", *p.WaitReason
	}
	return s
}

func (d *integrationData) urlStep(last *wire.Event) step {
	s := step{Title: "Enter the webhook URL at " + provider.Title(d.Provider), State: "waiting", Link: "#webhook", Text: "Nothing has come to this URL yet."}
	if last != nil || len(d.Rejected) > 0 {
		s.State, s.Text = "done", "Requests come to it."
	}
	return s
}

func (d *integrationData) secretStep() step {
	s := step{Title: "Store the signing secret", State: "waiting", Link: "#secret", Text: "Without it every message is rejected."}
	switch n := d.Secrets(); {
	case d.Integration.Fault != "":
		s.State, s.Text = "failed", d.Integration.Fault
	case d.KeySet() != "":
		s.Title, s.State, s.Text = "Know the keys of "+provider.Title(d.Provider), "done", "It signs with keys of its own, which authsync reads there."
	case n > 1:
		s.State, s.Text = "done", fmt.Sprintf("%d secrets are accepted.", n)
	case n == 1, d.IsSet("webhook_authorization"):
		s.State, s.Text = "done", "It is stored, encrypted."
	}
	return s
}

func (d *integrationData) messageStep(projectID string, last *wire.Event) step {
	s := step{Title: "Receive messages", State: "waiting", Text: "Waiting for the first message…"}
	var at time.Time
	if last != nil {
		at = last.ReceivedAt
		s.State, s.Text, s.Link = "done", "Verified and stored.", pathOf("projects", projectID, "events", last.ID)
	}
	if len(d.Rejected) > 0 && d.Rejected[0].ReceivedAt.After(at) {
		s.State, s.Text, s.Link = "failed", "The newest request was rejected. "+d.Rejected[0].Detail, "#rejected"
	}
	return s
}

func (d *integrationData) rowStep(projectID string, last, applied *wire.Event) step {
	s := step{Title: "See the first row", State: "waiting", Text: "It follows the first message within a second."}
	switch {
	case applied != nil && applied.RecordType != nil && applied.RecordID != nil:
		s.State, s.Text = "done", "It is in the mirror."
		s.Link = pathOf("projects", projectID, "records", *applied.RecordType, *applied.RecordID)
	case last != nil && last.Outcome != "pending":
		s.Text, s.Link = "The newest message is "+last.Outcome+": "+text(last.Reason), pathOf("projects", projectID, "events", last.ID)
		if last.Outcome == "failed" {
			s.State = "failed"
		}
	case last != nil:
		s.Text, s.Link = "The message waits to be applied. If that takes longer than a minute, run authsync doctor.", pathOf("projects", projectID, "events", last.ID)
	}
	return s
}

func (d *integrationData) backfillStep() step {
	s := step{Title: "Read the users who exist already", State: "optional", Link: "#sync"}
	s.Text = "It begins once authsync may read them."
	run := d.run(provider.KindBackfill)
	if run == nil {
		return s
	}
	s.Done = run.Read
	if run.Total != nil {
		s.Done, s.Total = run.Users(), *run.Total
	}
	switch run.State {
	case "done":
		s.State, s.Text, s.Total = "done", plural.Of(run.Read, "record")+" read.", 0
	case "failed":
		s.State, s.Text = "failed", plural.Of(run.Read, "record")+" read before it failed: "+text(run.Error)
	case "cancelled":
		s.Text = "The last backfill was cancelled."
	default:
		s.State, s.Text = "waiting", plural.Of(run.Read, "record")+" read so far."
		if run.WaitReason != nil {
			s.Text += " Waiting: " + *run.WaitReason + " Last progress: " + run.ProgressedAt.UTC().Format("2006-01-02 15:04Z") + "."
		}
	}
	return s
}

// provisionStep names a step that leads to a webhook set up by authsync.
func provisionStep(name string) string {
	switch name {
	case "permissions":
		return "Check the permissions"
	case "webhook":
		return "Create or adopt the webhook"
	case "test_sent":
		return "Send a test event"
	case "test_arrived":
		return "Receive the test event"
	default:
		return name
	}
}
