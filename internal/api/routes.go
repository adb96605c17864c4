package api

import (
	"net/http"

	"github.com/authsync/authsync/internal/provider"
)

// What calls take.
var (
	nothing  = takes{}                                                        //nolint:gochecknoglobals // constants, if Go had such
	aPage    = takes{query: []string{"cursor", "limit"}}                      //nolint:gochecknoglobals // constants, if Go had such
	aBody    = takes{body: bodyRequired}                                      //nolint:gochecknoglobals // constants, if Go had such
	maybe    = takes{body: bodyOptional}                                      //nolint:gochecknoglobals // constants, if Go had such
	anEvents = takes{query: append(jsonKeys(&eventFilter{}), aPage.query...)} //nolint:gochecknoglobals // constants, if Go had such
)

func (a *API) routes() []route {
	const (
		get, post, put, patch, remove = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete

		one         = "/projects/{project}"
		integration = one + "/integrations/{provider}"
		destination = one + "/destinations/{destination}"
		delivery    = one + "/deliveries/{delivery}"
	)
	return []route{
		{post, "/projects", ofAll, a.createProject, aBody},
		{get, "/projects", ofProject, a.listProjects, aPage},
		{get, one, ofProject, a.getProject, nothing},
		{patch, one, ofAll, a.updateProject, aBody},
		{remove, one, ofAll, a.deleteProject, nothing},

		{get, one + "/integrations", ofProject, a.listIntegrations, aPage},
		{put, integration, ofProject, a.putIntegration, aBody},
		{get, integration, ofProject, a.getIntegration, nothing},
		{remove, integration, ofProject, a.deleteIntegration, nothing},

		{post, integration + "/backfill", ofProject, a.startRun(provider.KindBackfill), nothing},
		{get, integration + "/backfill", ofProject, a.getRun(provider.KindBackfill), nothing},
		{remove, integration + "/backfill", ofProject, a.cancelRun(provider.KindBackfill), nothing},

		{post, integration + "/reconcile", ofProject, a.startRun(provider.KindReconcile), maybe},
		{get, integration + "/reconcile", ofProject, a.getRun(provider.KindReconcile), nothing},
		{remove, integration + "/reconcile", ofProject, a.cancelRun(provider.KindReconcile), nothing},

		{post, integration + "/redeliver", ofProject, a.redeliver, maybe},

		{post, one + "/grants", ofProject, a.grant, aBody},

		{get, one + "/rejected-requests", ofProject, a.listRejected, takes{query: append([]string{"provider"}, aPage.query...)}},

		{get, one + "/events", ofProject, a.listEvents, anEvents},
		{post, one + "/events/replay", ofProject, a.replayEvents, aBody},
		{get, one + "/events/{event}", ofProject, a.getEvent, takes{query: []string{"body"}}},
		{post, one + "/events/{event}/replay", ofProject, a.replayEvent, nothing},
		{get, one + "/users", ofProject, a.listUsers, takes{query: append([]string{"email"}, aPage.query...)}},
		{get, one + "/users/{user}", ofProject, a.getUser, takes{query: []string{"cursor"}}},
		{post, one + "/users/{user}/refresh", ofProject, a.refreshUser, maybe},
		{get, one + "/records/{record_type}", ofProject, a.listRecords, takes{
			query: append([]string{"organization_id", "user_id"}, aPage.query...),
		}},
		{get, one + "/records/{record_type}/{record_id}", ofProject, a.getRecord, takes{query: []string{"cursor"}}},

		{post, one + "/destinations", ofProject, a.createDestination, aBody},
		{get, one + "/destinations", ofProject, a.listDestinations, aPage},
		{get, destination, ofProject, a.getDestination, nothing},
		{patch, destination, ofProject, a.updateDestination, aBody},
		{remove, destination, ofProject, a.deleteDestination, nothing},
		{post, destination + "/pause", ofProject, a.pauseDestination, maybe},
		{post, destination + "/resume", ofProject, a.resumeDestination, nothing},
		{post, destination + "/rotate", ofProject, a.rotateSecret, maybe},
		{post, destination + "/preview", ofProject, a.previewDestination, aBody},
		{post, destination + "/test", ofProject, a.testDestination, maybe},
		{post, destination + "/replay", ofProject, a.replayDestination, aBody},

		{get, one + "/deliveries", ofProject, a.listDeliveries, takes{
			query: append([]string{"destination", "state", "user_id", "record_type", "record_id", "event_type"}, aPage.query...),
		}},
		{get, delivery, ofProject, a.getDelivery, nothing},
		{post, delivery + "/retry", ofProject, a.retryDelivery, nothing},
		{post, delivery + "/cancel", ofProject, a.cancelDelivery, nothing},

		{post, "/keys", ofAll, a.createKey, aBody},
		{get, "/keys", ofAll, a.listKeys, aPage},
		{remove, "/keys/{key}", ofAll, a.revokeKey, nothing},
	}
}
