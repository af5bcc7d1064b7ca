//go:build race

package main

// The race detector's shadow takes several bytes for each byte of the heap.
const memoryLimit = "20000000"
