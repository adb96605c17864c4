package api

import (
	"net/http"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// What calls take.
var (
	nothing      = takes{}                                                                                                  //nolint:gochecknoglobals // constants, if Go had such
	aPage        = takes{query: []string{"cursor", "limit"}}                                                                //nolint:gochecknoglobals // constants, if Go had such
	aBody        = takes{body: bodyRequired}                                                                                //nolint:gochecknoglobals // constants, if Go had such
	maybe        = takes{body: bodyOptional}                                                                                //nolint:gochecknoglobals // constants, if Go had such
	anAudit      = takes{query: append([]string{"since", "until", "key_id", "action", "outcome", "order"}, aPage.query...)} //nolint:gochecknoglobals // constants, if Go had such
	anEvents     = takes{query: append(append(jsonKeys(&eventFilter{}), "id_contains"), aPage.query...)}                    //nolint:gochecknoglobals // constants, if Go had such
	someProblems = takes{query: append([]string{"state", "kind"}, aPage.query...)}                                          //nolint:gochecknoglobals // constants, if Go had such
)

// routes lists the calls with the least role that each needs, by the rule of project.Role. A call that its body
// makes stronger checks that itself, with requireRole.
func (a *API) routes() []route {
	const (
		get, post, put, patch, remove = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete

		look, operate, admin = project.ReadOnly, project.Operator, project.Admin

		one         = "/projects/{project}"
		integration = one + "/integrations/{provider}"
		destination = one + "/destinations/{destination}"
		delivery    = one + "/deliveries/{delivery}"
	)
	return []route{
		{post, "/projects", ofAll, admin, a.createProject, aBody},
		{get, "/projects", ofProject, look, a.listProjects, aPage},
		{get, one, ofProject, look, a.getProject, nothing},
		{patch, one, ofAll, admin, a.updateProject, aBody},
		{remove, one, ofAll, admin, a.deleteProject, takes{query: []string{"keep_webhook"}}},
		// It reads one project and writes to another, like the creation of a clone: a key for one of them may not.
		{put, one + "/clone", ofAll, admin, a.putClone, aBody},

		{get, one + "/integrations", ofProject, look, a.listIntegrations, aPage},
		{put, integration, ofProject, admin, a.putIntegration, aBody},
		{get, integration, ofProject, look, a.getIntegration, takes{query: []string{"compare"}}},
		{remove, integration, ofProject, admin, a.deleteIntegration, takes{query: []string{"keep_webhook"}}},

		{post, integration + "/backfill", ofProject, operate, a.startRun(provider.KindBackfill), nothing},
		{get, integration + "/backfill", ofProject, look, a.getRun(provider.KindBackfill), nothing},
		{remove, integration + "/backfill", ofProject, operate, a.cancelRun(provider.KindBackfill), nothing},

		{post, integration + "/reconcile", ofProject, operate, a.startRun(provider.KindReconcile), maybe},
		{get, integration + "/reconcile", ofProject, look, a.getRun(provider.KindReconcile), nothing},
		{remove, integration + "/reconcile", ofProject, operate, a.cancelRun(provider.KindReconcile), nothing},

		{post, integration + "/redeliver", ofProject, operate, a.redeliver, maybe},
		{post, integration + "/preview", ofProject, operate, a.previewIntegration, aBody},

		{post, one + "/grants", ofProject, admin, a.grant, aBody},

		{get, one + "/rejected-requests", ofProject, look, a.listRejected, takes{query: append([]string{"provider"}, aPage.query...)}},

		{get, "/problems", ofProject, look, a.listProblems, someProblems},
		{get, one + "/problems", ofProject, look, a.listProjectProblems, someProblems},

		{get, one + "/message-counts", ofProject, look, a.listMessageCounts, nothing},

		{get, one + "/events", ofProject, look, a.listEvents, anEvents},
		{post, one + "/events/replay", ofProject, operate, a.replayEvents, aBody},
		{get, one + "/events/{event}", ofProject, look, a.getEvent, takes{query: []string{"body"}}},
		{post, one + "/events/{event}/replay", ofProject, operate, a.replayEvent, nothing},
		{get, one + "/users", ofProject, look, a.listUsers, takes{query: append([]string{"email"}, aPage.query...)}},
		{get, one + "/users/{user}", ofProject, look, a.getUser, takes{query: []string{"cursor"}}},
		{post, one + "/users/{user}/refresh", ofProject, operate, a.refreshUser, maybe},
		{post, one + "/users/{user}/erase", ofProject, admin, a.eraseUser, aBody},
		{get, one + "/erasures", ofProject, look, a.listErasures, aPage},
		{get, one + "/erasures/{erasure}", ofProject, look, a.getErasure, nothing},
		{get, one + "/records/{record_type}", ofProject, look, a.listRecords, takes{
			query: append([]string{"name", "email", "organization_id", "user_id"}, aPage.query...),
		}},
		{get, one + "/records/{record_type}/{record_id}", ofProject, look, a.getRecord, aPage},
		{get, one + "/records/{record_type}/{record_id}/values", ofProject, look, a.getValues, nothing},
		{post, one + "/records/{record_type}/{record_id}/refresh", ofProject, operate, a.refreshRecord, maybe},

		{post, one + "/destinations", ofProject, admin, a.createDestination, aBody},
		{get, one + "/destinations", ofProject, look, a.listDestinations, aPage},
		{get, destination, ofProject, look, a.getDestination, nothing},
		{patch, destination, ofProject, admin, a.updateDestination, aBody},
		{remove, destination, ofProject, admin, a.deleteDestination, nothing},
		{post, destination + "/pause", ofProject, operate, a.pauseDestination, maybe},
		{post, destination + "/resume", ofProject, operate, a.resumeDestination, nothing},
		{post, destination + "/rotate", ofProject, admin, a.rotateSecret, maybe},
		// A preview shows personal data, as the lists of users and records do, and sends and changes nothing.
		{post, destination + "/preview", ofProject, look, a.previewDestination, aBody},
		{post, one + "/destinations/preview", ofProject, admin, a.previewDraft, aBody},
		{post, destination + "/test", ofProject, operate, a.testDestination, maybe},
		{post, destination + "/replay", ofProject, operate, a.replayDestination, aBody},

		{get, one + "/deliveries", ofProject, look, a.listDeliveries, takes{
			query: append([]string{"destination", "state", "user_id", "record_type", "record_id", "event_type"}, aPage.query...),
		}},
		{get, delivery, ofProject, look, a.getDelivery, takes{query: []string{"preview"}}},
		{post, delivery + "/retry", ofProject, operate, a.retryDelivery, nothing},
		{post, delivery + "/cancel", ofProject, operate, a.cancelDelivery, nothing},
		{post, delivery + "/confirm", ofProject, operate, a.confirmDelivery, nothing},
		{post, one + "/deliveries/confirm", ofProject, operate, a.confirmDeliveries, aBody},

		{post, "/keys", ofAll, admin, a.createKey, aBody},
		{get, "/keys", ofAll, look, a.listKeys, aPage},
		{remove, "/keys/{key}", ofAll, admin, a.revokeKey, nothing},

		// They change nothing, but say who did what from where.
		{get, "/audit", ofAll, admin, a.listAudit, anAudit},
		{get, one + "/audit", ofProject, admin, a.listProjectAudit, anAudit},
	}
}
