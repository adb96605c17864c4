package dashboard

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/authsync/authsync/internal/api/wire"
)

// eventData is the page of an event.
type eventData struct {
	wire.Message

	HeaderNames []string
	// Pretty is the body indented, if it is JSON; AsReceived as it came.
	Pretty     *excerpt
	AsReceived excerpt
	// Binary says that the body is not text, and is shown in base64.
	Binary bool
	Size   int
	// RiverUI says that the key may open the jobs there.
	RiverUI bool
	// IsLook says that the page looks for news: headers and body have none, and are left out.
	IsLook bool
}

// JobPath is the page of a job.
func (eventData) JobPath(id int64) string { return RiverPath + "/jobs/" + strconv.FormatInt(id, 10) }

func showEvent(v *visit) (view, error) {
	look := isLook(v.Request)
	query := url.Values{"body": {strconv.FormatBool(!look)}} // the log has each time that it is shown
	message, err := get[wire.Message](v, query, "projects", v.project.ID, "events", v.PathValue("event"))
	if err != nil {
		return view{}, err
	}
	data := eventData{Message: message, HeaderNames: slices.Sorted(maps.Keys(message.Headers)), RiverUI: v.key.ProjectID == nil, IsLook: look}
	switch {
	case message.Body != nil:
		data.Size = len(*message.Body)
		data.AsReceived = excerptOf(*message.Body, maxBodyShown)
		if indented, ok := pretty(*message.Body); ok {
			cut := excerptOf(indented, maxBodyShown)
			data.Pretty = &cut
		}
	case message.BodyBase64 != nil:
		data.Binary, data.Size = true, base64.StdEncoding.DecodedLen(len(*message.BodyBase64))
		data.AsReceived = excerptOf(*message.BodyBase64, maxBodyShown)
	}
	return view{template: "event", title: "Event " + message.ID + " of " + v.project.Name, section: "events", data: data}, nil
}
