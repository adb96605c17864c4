package custom

import (
	"embed"
	"fmt"
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
