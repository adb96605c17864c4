package custom

import (
	"embed"
	"fmt"
	"maps"
	"slices"
)

//go:embed presets/*.yaml
var presets embed.FS

// Preset returns the file of a definition that is built in; see provider.Presets.
func Preset(name string) (string, error) {
	text, err := presets.ReadFile("presets/" + name + ".yaml")
	if err != nil {
		return "", fmt.Errorf("there is no preset %.40q", name)
	}
	return string(text), nil
}

// PresetDefinition returns a definition that is built in; empty if there is none of the name.
func PresetDefinition(name string) Definition {
	text, err := Preset(name)
	if err != nil {
		return Definition{}
	}
	c, err := ReadFile(name+".yaml", []byte(text))
	if err != nil {
		return Definition{} // a test reads them all
	}
	return c.Definition
}

// PresetTypes lists the event types that a preset maps.
func PresetTypes(name string) []string { return slices.Sorted(maps.Keys(PresetDefinition(name).Types)) }
