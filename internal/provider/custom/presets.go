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

// PresetTypes lists the event types that a preset maps.
func PresetTypes(name string) []string {
	text, err := Preset(name)
	if err != nil {
		return nil
	}
	c, err := ReadFile(name+".yaml", []byte(text))
	if err != nil {
		return nil // a test reads them all
	}
	return slices.Sorted(maps.Keys(c.Types))
}
