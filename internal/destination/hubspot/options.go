package hubspot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
)

// What to do for a changed record without an object in HubSpot.
const (
	missingCreate = "create"
	missingSkip   = "skip"
	missingLog    = "log"
)

// What to do with the object of a deleted record.
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
	// Properties to OnRestore are about contacts; see ObjectOptions.
	Properties map[string]*string `json:"properties"`
	IDProperty string             `json:"id_property"`
	IDPath     string             `json:"id_path"`
	Missing    string             `json:"missing"`
	OnDelete   onDelete           `json:"on_delete"`
	OnRestore  setting            `json:"on_restore"`
	// Companies makes the organizations companies, with which the contacts of their members are associated; nil: no.
	Companies     *ObjectOptions `json:"companies"`
	PortalID      value          `json:"portal_id"`
	Tier          string         `json:"tier"`
	PerTenSeconds int            `json:"requests_per_10s"`
	PerDay        int            `json:"requests_per_day"`
	TimeZone      string         `json:"time_zone"`
	BaseURL       string         `json:"base_url"`
}

// options are the validated options with defaults filled in.
type options struct {
	Options

	contacts  *objects
	companies *objects // nil: none
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
	o.contacts = newContacts(&o.Options)
	checks := []func() error{o.contacts.check}
	if o.Companies != nil {
		o.companies = newCompanies(o.Companies)
		checks = append(checks, o.companies.check, o.contacts.checkLinkable, o.companies.checkLinkable)
	}
	for _, check := range append(checks, o.checkPortal, o.checkLimits) {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return o, o.checkBaseURL(checkURL)
}

func (o *options) checkPortal() error {
	if o.PortalID != "" && !recordID(string(o.PortalID)) {
		return invalid("portal_id is the number of the portal; the menu of the account shows it")
	}
	return nil
}

func propertyName() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9_]{1,100}$`) }

func idPath() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`) }

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
