package timeout_test

import "testing"

func TestHangs(t *testing.T) {
	t.Run("InASubtest", func(*testing.T) { hang() })
}

func hang() { <-make(chan struct{}) }
