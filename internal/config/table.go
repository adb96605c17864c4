package config

// Row is a line of the table of settings.
type Row struct {
	Name    string `json:"name"`
	Value   string `json:"value"`   // the current value; *** for a secret
	Set     bool   `json:"set"`     // whether the environment set it
	Default string `json:"default"` // empty if there is none
	Doc     string `json:"doc"`
}

// Table lists every setting with its current value.
func (c *Config) Table() []Row {
	all := settings()
	rows := make([]Row, len(all))
	for i, s := range all {
		rows[i] = Row{Name: s.name, Value: s.show(c), Set: c.set[s.name], Default: s.fallback, Doc: s.doc}
	}
	return rows
}
