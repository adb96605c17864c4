package destination

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/fault"
)

// DecodeOptions decodes the options of a type into a struct. It returns a fault.Invalid for mistakes in them.
func DecodeOptions(options json.RawMessage, into any) error {
	if len(bytes.TrimSpace(options)) == 0 {
		options = json.RawMessage("{}")
	}
	decoder := json.NewDecoder(bytes.NewReader(options))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
			return fault.New(fault.Invalid, "options hold more than one JSON object")
		}
		return nil
	}
	if name, is := strings.CutPrefix(err.Error(), "json: unknown field "); is {
		return fault.Newf(fault.Invalid, "options have no field %s; there is %s", name, strings.Join(fieldNames(into), ", "))
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return fault.Newf(fault.Invalid, "options.%s is a JSON %s: it takes %s", wrong.Field, wrong.Value, inWords(wrong.Type))
	}
	return fault.New(fault.Invalid, "options are no JSON object that can be read: "+strings.TrimPrefix(err.Error(), "json: "))
}

func fieldNames(into any) []string {
	t := reflect.TypeOf(into).Elem()
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return "a whole number"
	}
}

// LimitOption configures a rate limit:
//
//	{"requests": 10, "per": "1s", "daily": 100000, "zone": "Europe/Berlin", "account": "billing"}
type LimitOption struct {
	Requests int    `json:"requests,omitempty"`
	Per      string `json:"per,omitempty"`
	Daily    int    `json:"daily,omitempty"`
	// Zone is the time zone of the daily limit; empty means UTC.
	Zone string `json:"zone,omitempty"`
	// Account is a common name for destinations of a project that share the limit; empty: the destination has
	// its own.
	Account string `json:"account,omitempty"`
}

// maxPer is the longest window of a rate limit; for longer ones there is the daily limit.
const maxPer = time.Hour

// Apply sets the limit of a class, if the option is set. It returns a fault.Invalid.
func (o *LimitOption) Apply(t *Capabilities, c Config, class string) error {
	if o == nil {
		return nil
	}
	limit := Limit{Requests: o.Requests, Daily: o.Daily, Zone: o.Zone}
	switch {
	case o.Requests < 0 || o.Daily < 0:
		return fault.New(fault.Invalid, "options.limit holds a negative number: give how many requests are allowed")
	case o.Requests == 0 && o.Daily == 0:
		return fault.New(fault.Invalid, `options.limit limits nothing: give requests and per, such as {"requests": 10, "per": "1s"}, or daily, or both`)
	case o.Requests == 0 && o.Per != "":
		return fault.New(fault.Invalid, "options.limit.per says in which time, but not how many: give options.limit.requests, too")
	case o.Requests > 0:
		per, err := time.ParseDuration(o.Per)
		if err != nil || per < time.Millisecond || per > maxPer {
			return fault.Newf(fault.Invalid, `options.limit.per is %.40q: it takes a time of at most 1h, such as "1s", "10s" or "1m"`, o.Per)
		}
		limit.Per = per
	}
	if _, err := time.LoadLocation(o.Zone); err != nil || o.Zone == "Local" {
		return fault.Newf(fault.Invalid, "options.limit.zone is %.60q: it takes the name of a time zone, such as Europe/Berlin, or nothing for UTC", o.Zone)
	}
	shared := "destination " + c.ID.String()
	if o.Account != "" {
		shared = "account " + o.Account
	}
	digest := sha256.Sum256([]byte(c.ProjectID.String() + " " + shared))
	t.Account, t.Limits = hex.EncodeToString(digest[:]), map[string]Limit{class: limit}
	return nil
}
