package main

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

// printFigures prints how much happened, and for how long no write succeeded around each kind of fault.
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
	printUnavailability(h)
}

// printUnavailability prints a table for docs/measurements/reliability.md, when clients were compared.
func printUnavailability(h *history) {
	byClient := map[string][]operation{}
	for _, o := range h.beside {
		if o.OK {
			byClient[o.Client] = append(byClient[o.Client], o)
		}
	}
	if len(byClient) == 0 {
		return
	}
	faults := map[string][]fault{}
	for _, f := range h.faults {
		faults[f.Kind] = append(faults[f.Kind], f)
	}
	clients := sorted(byClient)
	fmt.Println("\nLongest time without a put that succeeded, from a fault's begin to 5 s after its end, median / worst in s:")
	fmt.Printf("\n| fault | times | %s |\n| --- | --: |%s\n", strings.Join(clients, " | "), strings.Repeat(" --: |", len(clients)))
	for _, kind := range sorted(faults) {
		fmt.Printf("| %s | %d |", kind, len(faults[kind]))
		for _, client := range clients {
			var gaps []float64
			for _, f := range faults[kind] {
				gaps = append(gaps, longestGap(byClient[client], f.From, f.To+5_000)/1e3)
			}
			sort.Float64s(gaps)
			fmt.Printf(" %.2f / %.2f |", gaps[len(gaps)/2], gaps[len(gaps)-1])
		}
		fmt.Println()
	}
	fmt.Println()
}

// longestGap returns the longest time between the ends of two puts that lies at least partly between the times.
func longestGap(puts []operation, from, to float64) float64 {
	longest, last := 0.0, from
	for _, o := range puts {
		if o.End <= from {
			continue
		}
		longest = math.Max(longest, o.End-last)
		last = o.End
		if o.End >= to {
			break
		}
	}
	return math.Max(longest, to-last)
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
