package hubspot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
)

// What to do for a changed user without a contact in HubSpot.
const (
	missingCreate = "create"
	missingSkip   = "skip"
	missingLog    = "log"
)

// What to do with the contact of a deleted user.
const (
	deleteNothing = "nothing"
	deleteArchive = "archive"
	deleteSet     = "set"
)

// HubSpot's highest limits, to catch typos.
const (
	maxPerTenSeconds = 1000
	maxPerDay        = 10_000_000
)

// Options are the options as configured; see docs/destinations/hubspot.md.
type Options struct {
	// Properties add to or replace the default ones; null removes one.
	Properties    map[string]*string `json:"properties"`
	IDProperty    string             `json:"id_property"`
	IDPath        string             `json:"id_path"`
	Missing       string             `json:"missing"`
	OnDelete      onDelete           `json:"on_delete"`
	OnRestore     setting            `json:"on_restore"`
	PortalID      value              `json:"portal_id"`
	Tier          string             `json:"tier"`
	PerTenSeconds int                `json:"requests_per_10s"`
	PerDay        int                `json:"requests_per_day"`
	TimeZone      string             `json:"time_zone"`
	BaseURL       string             `json:"base_url"`
}

// options are the validated options with defaults filled in.
type options struct {
	Options

	mapping   []property
	onRestore map[string]string
	zone      *time.Location
}

// value is a string, or a number or boolean converted to one.
type value string

// UnmarshalJSON accepts any of them.
func (v *value) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var one any
	if err := decoder.Decode(&one); err != nil {
		return err
	}
	text, err := wireText(one)
	if err != nil {
		return fmt.Errorf("a value is %w", err)
	}
	*v = value(text)
	return nil
}

// setting is a constant property value. An empty value clears the property.
type setting struct {
	Set map[string]value `json:"set"`
}

func (s setting) properties() map[string]string {
	out := map[string]string{}
	for name, v := range s.Set {
		out[name] = string(v)
	}
	return out
}

// onDelete is "nothing", "archive" or {"set": …}.
type onDelete struct {
	do  string
	set map[string]string
}

// UnmarshalJSON accepts each of the three forms.
func (d *onDelete) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &d.do) == nil {
		return nil
	}
	var s setting
	d.do = deleteSet
	err := destination.DecodeOptions(data, &s)
	d.set = s.properties()
	return err
}

func invalid(format string, args ...any) error {
	return fault.At("options", format, args...)
}

func invalidToken(format string, args ...any) error {
	return fault.At("secrets."+TokenSecret, format, args...)
}

// readOptions validates options and fills in defaults.
func readOptions(raw json.RawMessage, checkURL func(string) error) (*options, error) {
	o := &options{}
	if err := destination.DecodeOptions(raw, &o.Options); err != nil {
		return nil, err
	}
	for _, check := range []func() error{o.checkProperties, o.checkChoices, o.checkLimits} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return o, o.checkBaseURL(checkURL)
}

func (o *options) checkProperties() error {
	if o.IDProperty == "email" {
		return invalid("id_property is a property of your own with unique values that holds the user's id; leave it out to find contacts by e-mail")
	}
	sources := map[string]string{"email": ".user.email", "firstname": ".user.first_name", "lastname": ".user.last_name"}
	for name, source := range o.Properties {
		if source == nil {
			delete(sources, name)
			continue
		}
		sources[name] = *source
	}
	if _, mapped := sources[o.IDProperty]; o.IDProperty != "" && !mapped {
		sources[o.IDProperty] = ".user.id"
	}
	o.onRestore = o.OnRestore.properties()
	for _, names := range []map[string]string{sources, o.OnDelete.set, o.onRestore} {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if !propertyName().MatchString(name) {
				return invalid("%.100q is no name of a HubSpot property: those are lower case, such as firstname (Settings → Properties → the property → </>)", name)
			}
		}
	}
	if _, mapped := sources["email"]; !mapped && o.IDProperty == "" {
		return invalid("map the property email, or name an id_property: without either no contact can be found again")
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		e, err := jq.Compile("options.properties."+name, sources[name])
		if err != nil {
			return invalid("%s", err)
		}
		o.mapping = append(o.mapping, property{name: name, expression: e})
	}
	return nil
}

func propertyName() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9_]{1,100}$`) }

func (o *options) checkChoices() error {
	if o.Missing == "" {
		o.Missing = missingCreate
	}
	if !slices.Contains([]string{missingCreate, missingSkip, missingLog}, o.Missing) {
		return invalid("missing is %q; it is create, skip or log", o.Missing)
	}
	if o.OnDelete.do == "" {
		o.OnDelete.do = deleteNothing
	}
	if !slices.Contains([]string{deleteNothing, deleteArchive, deleteSet}, o.OnDelete.do) || o.OnDelete.do == deleteSet && len(o.OnDelete.set) == 0 {
		return invalid(`on_delete is "nothing", "archive", or {"set": {"property": "value"}}`)
	}
	if o.IDPath != "" && !regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`).MatchString(o.IDPath) {
		return invalid("id_path %q is no path into the user, such as raw.app_metadata.hubspot_contact_id", o.IDPath)
	}
	if o.PortalID != "" && !recordID(string(o.PortalID)) {
		return invalid("portal_id is the number of the portal; the menu of the account shows it")
	}
	return nil
}

// checkLimits sets the limits of the portal's plan; explicit numbers override them.
func (o *options) checkLimits() error {
	plans := map[string]destination.Limit{
		"":             {Requests: 100, Daily: 250_000},
		"starter":      {Requests: 100, Daily: 250_000},
		"professional": {Requests: 190, Daily: 650_000},
		"enterprise":   {Requests: 190, Daily: 1_000_000},
	}
	plan, known := plans[o.Tier]
	if !known {
		return invalid("tier is %q; it is starter (also for free portals), professional or enterprise", o.Tier)
	}
	if o.PerTenSeconds == 0 {
		o.PerTenSeconds = plan.Requests
	}
	if o.PerDay == 0 {
		o.PerDay = plan.Daily
	}
	if o.PerTenSeconds < 1 || o.PerTenSeconds > maxPerTenSeconds {
		return invalid("requests_per_10s is %d; it is from 1 to %d", o.PerTenSeconds, maxPerTenSeconds)
	}
	if o.PerDay < 1 || o.PerDay > maxPerDay {
		return invalid("requests_per_day is %d; it is from 1 to %d", o.PerDay, maxPerDay)
	}
	zone, err := time.LoadLocation(o.TimeZone)
	if err != nil || o.TimeZone == "Local" {
		return invalid("time_zone %q is not known; take the portal's, such as Europe/Berlin, or leave it out for UTC", o.TimeZone)
	}
	o.zone = zone
	return nil
}

func (o *options) checkBaseURL(check func(string) error) error {
	if o.BaseURL == "" {
		o.BaseURL = defaultBaseURL
	}
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return invalid("base_url is no URL such as %s; it is for tests, leave it out", defaultBaseURL)
	}
	o.BaseURL = strings.TrimSuffix(o.BaseURL, "/")
	if check == nil {
		return nil
	}
	if err := check(o.BaseURL); err != nil {
		return invalid("base_url: %s", err)
	}
	return nil
}

// recordID reports whether s is a valid record id.
func recordID(s string) bool {
	return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
}
