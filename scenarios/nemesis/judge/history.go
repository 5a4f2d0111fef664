package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
)

// Times are in ms of the machine's clock.

// failure is an error as the client reported it.
type failure struct {
	Name    string `json:"name"`
	Code    int    `json:"code"`
	Details string `json:"details"`
	Sent    bool   `json:"sent"`
	// False if the error says that a write was not applied, and never will be.
	MayBeApplied bool   `json:"mayBeApplied"`
	Message      string `json:"message"`
}

// operation is one call of the workload.
type operation struct {
	ID     int    `json:"id"`
	Client string `json:"client"`
	Worker string `json:"worker"`
	Kind   string `json:"kind"`
	Key    string `json:"key"`
	// The value that it writes: unique among all operations.
	Value string `json:"value"`
	// The value that cas compares with.
	Expect string `json:"expect"`
	Start  float64
	End    float64
	// The longest time that the call was given.
	Bound float64 `json:"bound"`
	OK    bool    `json:"ok"`
	// Revision of the answer's header.
	Revision int64 `json:"revision"`
	// Revision that the key had when it was read.
	Mod int64 `json:"mod"`
	// What was read.
	Found   string   `json:"found"`
	Applied bool     `json:"applied"`
	Error   *failure `json:"error"`
}

// span is a time during which a worker relied on something.
type span struct {
	Name   string  `json:"name"`
	Mode   string  `json:"mode"`
	Worker string  `json:"worker"`
	Lease  string  `json:"lease"`
	Key    string  `json:"key"`
	Token  int64   `json:"token"`
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	// For a claim: it ended with a release that succeeded.
	Clean bool `json:"clean"`
	// For a hold: its end was noticed, not caused.
	Lost bool `json:"lost"`
	// For a hold: it resumed what another session had held.
	Resumed bool `json:"resumed"`
	// For a barrier: when enter() resolved.
	Entered float64 `json:"entered"`
}

type watchEvent struct {
	Revision int64  `json:"r"`
	Deleted  bool   `json:"d"`
	Key      string `json:"k"`
	Value    string `json:"v"`
}

// watchStep is one thing that happened to one watcher.
type watchStep struct {
	Watch  string `json:"watch"`
	Prefix string `json:"prefix"`
	// For "seek": the first revision wanted from here on.
	From     int64        `json:"from"`
	Revision int64        `json:"revision"`
	Events   []watchEvent `json:"events"`
	seek     bool
}

type fault struct {
	Kind string  `json:"kind"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
	// Whether a majority of the members was up and could be reached by all clients throughout the fault.
	Majority bool `json:"majority"`
}

// leftLease is a lease that still existed when everything was over.
type leftLease struct {
	Lease string  `json:"lease"`
	TTL   int64   `json:"ttl"`
	From  float64 `json:"from"`
}

type lateness struct {
	At float64 `json:"at"`
	Ms float64 `json:"ms"`
}

// event is a change as the members' own ports reported it.
type event struct {
	Revision int64   `json:"r"`
	Deleted  bool    `json:"d"`
	Key      string  `json:"k"`
	Value    string  `json:"v"`
	Created  int64   `json:"c"`
	Version  int64   `json:"n"`
	Lease    string  `json:"l"`
	At       float64 `json:"at"`
}

type history struct {
	operations []operation
	holds      []span
	claims     []span
	resumed    []span
	leases     []span
	closed     []span
	barriers   []span
	watches    []watchStep
	faults     []fault
	late       []lateness
	left       []leftLease
	beside     []operation
	store      []event
	byKey      map[string][]event
	end        float64
	bounds     *bounds
}

func readHistory(dir string) (*history, error) {
	h := &history{byKey: map[string][]event{}}
	err := lines(filepath.Join(dir, "operations.jsonl"), func(line []byte) error {
		var kind struct {
			T string `json:"t"`
		}
		if err := json.Unmarshal(line, &kind); err != nil {
			return err
		}
		switch kind.T {
		case "op":
			return into(line, &h.operations)
		case "beside":
			return into(line, &h.beside)
		case "hold":
			return into(line, &h.holds)
		case "claim":
			return into(line, &h.claims)
		case "resumed":
			return into(line, &h.resumed)
		case "lease":
			return into(line, &h.leases)
		case "closed":
			return into(line, &h.closed)
		case "barrier":
			return into(line, &h.barriers)
		case "batch":
			return into(line, &h.watches)
		case "seek":
			if err := into(line, &h.watches); err != nil {
				return err
			}
			h.watches[len(h.watches)-1].seek = true
		case "fault":
			return into(line, &h.faults)
		case "left":
			return into(line, &h.left)
		case "late":
			return into(line, &h.late)
		default:
			return fmt.Errorf("unknown record %q", kind.T)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = lines(filepath.Join(dir, "store.jsonl"), func(line []byte) error { return into(line, &h.store) })
	if err != nil {
		return nil, err
	}
	if len(h.operations) == 0 || len(h.store) == 0 {
		return nil, fmt.Errorf("%s holds no history: %d operations, %d changes", dir, len(h.operations), len(h.store))
	}
	for _, e := range h.store {
		h.byKey[e.Key] = append(h.byKey[e.Key], e)
	}
	sort.SliceStable(h.operations, func(i, j int) bool { return h.operations[i].Start < h.operations[j].Start })
	for _, o := range h.operations {
		h.end = math.Max(h.end, o.End)
	}
	h.bounds = newBounds(h)
	return h, nil
}

func into[T any](line []byte, list *[]T) error {
	var value T
	if err := json.Unmarshal(line, &value); err != nil {
		return err
	}
	*list = append(*list, value)
	return nil
}

func lines(path string, each func([]byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(make([]byte, 1<<20), 1<<28)
	for n := 1; scanner.Scan(); n++ {
		if err := each(scanner.Bytes()); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	return scanner.Err()
}

// bounds holds the times between which each revision was made, as far as they are known.
type bounds struct {
	// From answers, by revision. started[i] is the latest start up to there, ended[i] the earliest end from there on.
	revisions []int64
	started   []float64
	ended     []float64
}

func newBounds(h *history) *bounds {
	type point struct {
		revision   int64
		start, end float64
	}
	var points []point
	for _, o := range h.operations {
		if o.OK && o.Revision > 0 && o.Kind != "close" {
			points = append(points, point{o.Revision, o.Start, o.End})
		}
	}
	for _, e := range h.store {
		points = append(points, point{e.Revision, math.Inf(-1), e.At})
	}
	sort.Slice(points, func(i, j int) bool { return points[i].revision < points[j].revision })
	b := &bounds{}
	for _, p := range points {
		b.revisions = append(b.revisions, p.revision)
		b.started = append(b.started, p.start)
		b.ended = append(b.ended, p.end)
	}
	for i := 1; i < len(points); i++ {
		b.started[i] = math.Max(b.started[i], b.started[i-1])
	}
	for i := len(points) - 2; i >= 0; i-- {
		b.ended[i] = math.Min(b.ended[i], b.ended[i+1])
	}
	return b
}

// notBefore returns a time before which the revision was not made.
func (b *bounds) notBefore(revision int64) float64 {
	i := sort.Search(len(b.revisions), func(i int) bool { return b.revisions[i] >= revision })
	if i == 0 {
		return math.Inf(-1)
	}
	return b.started[i-1]
}

// notAfter returns a time by which the revision was made.
func (b *bounds) notAfter(revision int64) float64 {
	i := sort.Search(len(b.revisions), func(i int) bool { return b.revisions[i] >= revision })
	if i == len(b.revisions) {
		return math.Inf(1)
	}
	return b.ended[i]
}

// lateIn returns how late the workload's process was in a period, in total.
func (h *history) lateIn(from, to float64) float64 {
	sum := 0.0
	for _, l := range h.late {
		// It was late from At-Ms to At.
		overlap := math.Min(l.At, to) - math.Max(l.At-l.Ms, from)
		if overlap > 0 {
			sum += overlap
		}
	}
	return sum
}

// at returns the state of a key at a revision.
func (h *history) at(key string, revision int64) (event, bool) {
	events := h.byKey[key]
	i := sort.Search(len(events), func(i int) bool { return events[i].Revision > revision })
	if i == 0 || events[i-1].Deleted {
		return event{}, false
	}
	return events[i-1], true
}
