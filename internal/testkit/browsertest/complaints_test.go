package browsertest_test

import (
	"slices"
	"strings"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// note keeps what the browser complains about.
func (b *tab) note(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = "an exception: " + e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning || e.Type == runtime.APITypeAssert {
			words := []string{"the console has an " + e.Type.String() + ":"}
			for _, arg := range e.Args {
				words = append(words, string(arg.Value)+arg.Description)
			}
			fault = strings.Join(words, " ")
		}
	case *runtime.EventBindingCalled:
		fault = "the policy: " + e.Payload
	case *log.EventEntryAdded:
		b.mu.Lock()
		expected := e.Entry.Source == log.SourceNetwork && slices.Contains(b.expected, e.Entry.URL)
		b.mu.Unlock()
		if (e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning) && !expected {
			fault = "the browser's log has: " + e.Entry.Text + " " + e.Entry.URL
		}
	}
	if fault != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fault)
	}
}

// complaints are what was noted so far. Asking the page for something comes after all that it has reported.
func (b *tab) complaints() []string {
	b.t.Helper()
	b.do(chromedp.Evaluate("1", nil))
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.faults)
}

// clean requires that the browser has complained about nothing.
func (b *tab) clean() {
	b.t.Helper()
	if !b.t.Failed() {
		require.Empty(b.t, b.complaints(), "at %s", b.location())
	}
}
