package main

import (
	"fmt"
	"math"
	"sort"
)

// printFigures says how much happened, and how long no write succeeded around each kind of fault.
func printFigures(h *history) {
	var ok, unknown, failed int
	kinds := map[string]int{}
	for _, o := range h.operations {
		kinds[o.Kind]++
		switch {
		case o.OK:
			ok++
		case o.Error != nil && o.Error.saysNotApplied():
			failed++
		default:
			unknown++
		}
	}
	fmt.Printf("%d operations: %d ok, %d unknown, %d failed; %d changes of the store, %d batches of watches, %d holds\n",
		len(h.operations), ok, unknown, failed, len(h.store), len(h.watches), len(h.holds))
	for _, kind := range sorted(kinds) {
		fmt.Printf("  %-10s %d\n", kind, kinds[kind])
	}
	byClient := map[string][]operation{}
	for _, o := range append(append([]operation(nil), h.operations...), h.beside...) {
		if o.Kind == "put" && o.OK {
			byClient[o.Client] = append(byClient[o.Client], o)
		}
	}
	faults := map[string][]fault{}
	for _, f := range h.faults {
		faults[f.Kind] = append(faults[f.Kind], f)
	}
	fmt.Println("longest time without a write that succeeded, from each fault's begin to 5 s after its end, median and worst (ms):")
	for _, kind := range sorted(faults) {
		fmt.Printf("  %-14s %2d times", kind, len(faults[kind]))
		for _, client := range sorted(byClient) {
			var gaps []float64
			for _, f := range faults[kind] {
				gaps = append(gaps, longestGap(byClient[client], f.From, f.To+5_000))
			}
			sort.Float64s(gaps)
			fmt.Printf("  %s %.0f/%.0f", client, gaps[len(gaps)/2], gaps[len(gaps)-1])
		}
		fmt.Println()
	}
}

func longestGap(puts []operation, from, to float64) float64 {
	ends := []float64{from}
	for _, o := range puts {
		if o.End > from && o.End < to {
			ends = append(ends, o.End)
		}
	}
	sort.Float64s(ends)
	longest := 0.0
	for i := 1; i < len(ends); i++ {
		longest = math.Max(longest, ends[i]-ends[i-1])
	}
	if len(ends) == 1 {
		return to - from
	}
	return longest
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
