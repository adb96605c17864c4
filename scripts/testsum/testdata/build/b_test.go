package build_test

import "testing"

func TestDoesNotCompile(t *testing.T) { undefined() }
