package race_test

import "testing"

func TestRaces(t *testing.T) {
	n, done := 0, make(chan struct{})
	go func() {
		n++
		close(done)
	}()
	n++
	<-done
	t.Log(n)
}
