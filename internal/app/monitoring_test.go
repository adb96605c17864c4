package app_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/provider"
)

const (
	alertsFile     = "../../docs/alerts.yaml"
	dashboardFiles = "../../docs/grafana/*.json"
)

// dashboard is what the tests read of a dashboard of Grafana.
type dashboard struct {
	UID        string `json:"uid"`
	Title      string `json:"title"`
	Templating struct {
		List []struct {
			Name  string `json:"name"`
			Query any    `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID          int    `json:"id"`
		Type        string `json:"type"`
		Title       string `json:"title"`
		Description string `json:"description"`
		Datasource  struct {
			UID string `json:"uid"`
		} `json:"datasource"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(dashboardFiles)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := make(map[string]dashboard)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var d dashboard
		require.NoError(t, json.Unmarshal(text, &d), file)
		all[file] = d
	}
	return all
}

func TestDashboardsAreWhole(t *testing.T) {
	t.Parallel()
	for file, d := range dashboards(t) {
		require.NotEmpty(t, d.UID, file)
		var variables []string
		for _, v := range d.Templating.List {
			variables = append(variables, v.Name)
		}
		ids := make(map[int]bool)
		for _, panel := range d.Panels {
			require.False(t, ids[panel.ID], "%s: two panels are number %d", file, panel.ID)
			ids[panel.ID] = true
			require.NotEmpty(t, panel.Title, file)
			if panel.Type == "row" {
				continue
			}
			require.NotEmpty(t, panel.Description, "%s: %s", file, panel.Title)
			require.NotEmpty(t, panel.Targets, "%s: %s", file, panel.Title)
			require.Equal(t, "${datasource}", panel.Datasource.UID, "%s: %s", file, panel.Title)
			for _, target := range panel.Targets {
				for _, used := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
					if !strings.HasPrefix(used[1], "__") {
						require.Contains(t, variables, used[1], "%s: %s", file, panel.Title)
					}
				}
			}
		}
	}
}

// expressions are all that dashboards and alerts ask Prometheus for, by where they are.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for file, d := range dashboards(t) {
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				all[file+": "+panel.Title+": "+target.Expr] = target.Expr
			}
		}
		for _, v := range d.Templating.List {
			if query, is := v.Query.(map[string]any); is {
				text, isText := query["query"].(string)
				require.True(t, isText)
				all[file+": variable "+v.Name] = text
			}
		}
	}
	text, err := os.ReadFile(alertsFile)
	require.NoError(t, err)
	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	require.NoError(t, yaml.Unmarshal(text, &alerts))
	for _, group := range alerts.Groups {
		for _, rule := range group.Rules {
			all["alert "+rule.Alert] = rule.Expr
			require.Contains(t, []string{"critical", "warning"}, rule.Labels["severity"], rule.Alert)
			require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
			require.NotEmpty(t, rule.Annotations["description"], rule.Alert)
		}
	}
	return all
}

// exposed are the labels of each series in what /metrics answers.
func exposed(text string) map[string][]string {
	series := make(map[string][]string)
	line := regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? `)
	label := regexp.MustCompile(`([a-z_]+)="`)
	for l := range strings.Lines(text) {
		match := line.FindStringSubmatch(l)
		if match == nil {
			continue
		}
		series[match[1]] = nil
		for _, name := range label.FindAllStringSubmatch(match[2], -1) {
			series[match[1]] = append(series[match[1]], name[1])
		}
	}
	return series
}

// documented are the labels of the metrics that docs/observability.md lists, by name: those that begin with use, too.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	all := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(authsync_[a-z_]+)` \\|([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		all[row[1]] = append([]string{"le"}, regexp.MustCompile("[a-z_]+").FindAllString(row[2], -1)...)
	}
	require.NotEmpty(t, all)
	return all
}

// family is the name of the metric that a series is of.
func family(series string) string {
	return regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(series, "")
}

// Every metric, and every label in a selector, that dashboards and alerts name is one of a server's.
func TestDashboardsAndAlertsNameWhatAServerExposes(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, _ := in.start(t, config.Roles{Receiver: true, Worker: true, API: true})
	require.NoError(t, in.send(t, a.URL(), provider.Clerk, "user_1"))
	status, text := in.metrics(t, a.URL()+"/metrics")
	require.Equal(t, 200, status)
	series := exposed(text)
	metrics := documented(t)
	for name, labels := range series {
		if strings.HasPrefix(name, "authsync_") {
			require.Contains(t, metrics, family(name))
			require.Subset(t, metrics[family(name)], labels, name)
		}
	}

	metric := regexp.MustCompile(`\b((?:authsync|process|go)_[a-z_]+)\b(\{[^}]*\})?`)
	selector := regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	for where, expression := range expressions(t) {
		found := metric.FindAllStringSubmatch(expression, -1)
		require.NotEmpty(t, found, where)
		for _, match := range found {
			labels, known := metrics[family(match[1])]
			if !known { // Go's own and those of the process
				labels, known = series[match[1]]
			}
			require.True(t, known, "%s: a server does not expose %s", where, match[1])
			for _, label := range selector.FindAllStringSubmatch(match[2], -1) {
				if !slices.Contains([]string{"job", "instance"}, label[1]) { // of the scrape
					require.Contains(t, labels, label[1], "%s: %s", where, match[1])
				}
			}
		}
	}
}

// What a server exposes of its own is on a dashboard: whoever adds a metric shows it.
func TestEveryMetricIsOnADashboard(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, d := range dashboards(t) {
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				for _, name := range regexp.MustCompile(`\bauthsync_[a-z_]+`).FindAllString(target.Expr, -1) {
					shown[family(name)] = true
				}
			}
		}
	}
	for name := range documented(t) {
		require.True(t, shown[name], "no dashboard shows %s", name)
	}
}

// promtool is Prometheus's own checker. Where there is none, its tests are left out, unless REQUIRE_PROMTOOL=1, as in CI.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		require.Empty(t, config.Environment()("REQUIRE_PROMTOOL"), "promtool is not installed: it is in Debian's package prometheus")
		t.Skip("NOT RUN: the alerts against Prometheus's rules: promtool is not installed")
	}
	return path
}

// The alerts are as Prometheus reads them, and testdata/alerts.test.yaml says when each begins.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	program := promtool(t)
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", alertsFile}, {"test", "rules", "testdata/alerts.test.yaml"}} {
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// Every alert has a test of when it begins.
func TestEveryAlertIsTested(t *testing.T) {
	t.Parallel()
	tests, err := os.ReadFile("testdata/alerts.test.yaml")
	require.NoError(t, err)
	for where := range expressions(t) {
		if name, is := strings.CutPrefix(where, "alert "); is {
			require.Contains(t, string(tests), "- name: "+name+"\n")
		}
	}
}

// Prometheus understands the dashboards' questions too, once Grafana has put its variables in.
func TestDashboardsAskWhatPrometheusUnderstands(t *testing.T) {
	t.Parallel()
	program := promtool(t)
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	type group struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	}
	var rules []rule
	for where, expression := range expressions(t) {
		if strings.Contains(where, ": variable ") {
			continue
		}
		expression = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*").Replace(expression)
		require.NotContains(t, regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expression, ""), "$", where)
		rules = append(rules, rule{Record: "a:record_" + string(rune('a'+len(rules)%26)) + strings.Repeat("x", len(rules)/26), Expr: expression})
	}
	text, err := yaml.Marshal(map[string][]group{"groups": {{Name: "dashboards", Rules: rules}}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	out, err := exec.CommandContext(t.Context(), program, "check", "rules", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
