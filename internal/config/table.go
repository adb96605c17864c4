package config

// Row is a line of the table of settings.
type Row struct {
	Name    string `json:"name"`
	Value   string `json:"value"`   // as it is in force; *** for a secret
	Set     bool   `json:"set"`     // whether the environment gave it
	Default string `json:"default"` // empty where there is none
	Doc     string `json:"doc"`
}

// Table lists every setting with the value in force.
func (c *Config) Table() []Row {
	all := settings()
	rows := make([]Row, len(all))
	for i, s := range all {
		rows[i] = Row{Name: s.name, Value: s.show(c), Set: c.set[s.name], Default: s.fallback, Doc: s.doc}
	}
	return rows
}
