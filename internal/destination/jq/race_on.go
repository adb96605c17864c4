//go:build race

package jq

const raceDetector = true

// slowdown is how many times longer than without the detector a worker may take.
const slowdown = 6
