package config

// Readers is readers, for tests.
func Readers() map[string]string { return readers() }
