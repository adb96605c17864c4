//go:build !race

package jq

const raceDetector = false

const slowdown = 1
