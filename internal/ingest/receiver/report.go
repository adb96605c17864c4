package receiver

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/provider"
)

// report reports a request to the observer and records a rejection. A request for an unknown
// project is only reported, because it belongs to nobody.
func (d *request) report(a answer) {
	if d.known && d.config.Rejections != nil && a.status != http.StatusNoContent && a.reason != reasonNotJSON {
		d.config.Rejections.Add(d.rejection(&a))
	}
	if d.config.Observe != nil {
		m := Message{
			ReceivedAt: d.received, ProjectID: d.projectID, Provider: d.provider, InboxID: d.inboxID, MessageID: d.proof.MessageID,
			Status: a.status, Reason: a.reason, Detail: a.detail, Bytes: len(d.body),
		}
		if !d.known {
			m.ProjectID, m.Path = uuid.Nil, ShortPath(d.r)
		}
		d.config.Observe(m)
	}
}

// unknownCustom stands for all providers of customers' own that a project does not have: senders choose these names, and
// rejections are kept for each.
const unknownCustom = provider.CustomPrefix + "unknown"

// rejection is the recorded form of a rejected request. It may name another integration whose
// secret matched, which the sender is not told.
func (d *request) rejection(a *answer) rejections.Request {
	if a.reason == reasonMismatch || a.reason == reasonMissing || a.reason == reasonMalformed {
		if other := d.otherIntegration(); other != "" {
			a.reason = reasonOtherSecret
			a.detail = fmt.Sprintf("The request is signed as the project's integration with %s expects it: either it was sent to the wrong "+
				"URL, or the secrets of two providers were mixed up.", provider.Title(other))
		}
	}
	bytes := int64(len(d.body))
	if d.body == nil {
		bytes = d.r.ContentLength
	}
	name := d.provider
	if a.reason == reasonNoIntegration && strings.HasPrefix(name, provider.CustomPrefix) {
		name = unknownCustom
	}
	return rejections.Request{
		ProjectID: d.projectID, Provider: name, ReceivedAt: d.received, Status: a.status, Reason: a.reason, Detail: a.detail,
		BodyBytes: bytes, HeaderNames: slices.Collect(maps.Keys(d.r.Header)), Address: d.address,
	}
}

// otherIntegration returns the provider of another integration of the project that would have
// accepted the request. It is only computed if the result is recorded.
func (d *request) otherIntegration() string {
	if d.body == nil || !d.config.Rejections.Wants(d.projectID, d.provider) {
		return ""
	}
	for _, other := range d.config.Directory.Others(d.projectID, d.provider) {
		if _, err := other.Verifier.Verify(d.r.Header, d.body, d.received); err == nil {
			return other.Provider.Name()
		}
	}
	return ""
}

// checkQuota rejects, retryably, what a project may no longer store.
func (d *request) checkQuota() answer {
	if d.config.Usage == nil {
		return answer{}
	}
	if _, _, exceeded := d.config.Usage.Exceeded(d.projectID); !exceeded {
		return answer{}
	}
	return answer{
		status: http.StatusServiceUnavailable, reason: reasonQuota, closes: true,
		// The limit is not disclosed to senders that know only the URL.
		detail: "The project has stored as many messages as it may. It takes messages again once old ones are " +
			"dropped (authsync projects get shows when), or the operator allows more (AUTHSYNC_PROJECT_QUOTA_BYTES).",
	}
}
