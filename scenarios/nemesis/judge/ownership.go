package main

import (
	"fmt"
	"sort"
	"strings"
)

// exclusive checks that two holders of one lock never overlap, unless both read, and that the tokens of holders that
// exclude each other grow. If its process was late, a holder that lost the lock may learn that as much later. A holder
// that released it knew.
func exclusive(h *history, report func(string, ...any)) {
	holds := append([]span(nil), h.holds...)
	sort.Slice(holds, func(i, j int) bool { return holds[i].From < holds[j].From })
	before := map[string][]span{}
	newest := map[string]span{}
	for _, hold := range holds {
		var open []span
		for _, other := range before[hold.Name] {
			if other.To <= hold.From {
				continue
			}
			open = append(open, other)
			overlap := min(other.To, hold.To) - hold.From
			late := 0.0
			if other.Lost {
				late = h.lateIn(hold.From-1_000, other.To)
			}
			if hold.excludes(other) && overlap > 1+late {
				report("%s was held by %s (token %d) and %s (token %d) for %.0f ms", hold.Name, other.Worker, other.Token,
					hold.Worker, hold.Token, overlap)
			}
		}
		before[hold.Name] = append(open, hold)
		modes := []string{"", "write"}
		if hold.Mode != "read" {
			modes = append(modes, "read")
		}
		for _, mode := range modes {
			// A worker that campaigns again before a resignation is done has the same leadership until then.
			earlier := newest[hold.Name+" "+mode]
			if hold.Token < earlier.Token || (hold.Token == earlier.Token && hold.Lease != earlier.Lease && !hold.Resumed) {
				report("%s gave token %d after %d", hold.Name, hold.Token, earlier.Token)
			}
		}
		if mine := hold.Name + " " + hold.Mode; hold.Token > newest[mine].Token {
			newest[mine] = hold
		}
	}
}

func (s span) excludes(other span) bool { return s.Mode != "read" || other.Mode != "read" }

// fenced checks that the writes to a guarded key come in the order of their holders' tokens.
func fenced(h *history, report func(string, ...any)) {
	for key, events := range h.byKey {
		if !strings.HasPrefix(key, "nem/guard/") {
			continue
		}
		newest := 0
		for _, e := range events {
			var token int
			if _, err := fmt.Sscan(e.Value, &token); err != nil || token < newest {
				report("%s got %q at %d after token %d", key, e.Value, e.Revision, newest)
			}
			newest = max(newest, token)
		}
	}
}

// notified checks that a holder learns when another session has resumed what it held, faults aside.
func notified(h *history, report func(string, ...any)) {
	for _, r := range h.resumed {
		if r.Lost || h.troubled(r.From-graceMs, r.To) || h.lateIn(r.From, r.To) > (r.To-r.From)/2 {
			continue
		}
		report("%s: %s resumed it, and the first holder was not notified for %.0f ms", r.Name, r.Worker, r.To-r.From)
	}
}

// returned checks that a key that stands for ownership exists only while its session claims or owns it.
func returned(h *history, report func(string, ...any)) {
	claims := map[string][]span{}
	for _, c := range h.claims {
		claims[c.Name+" "+c.Lease] = append(claims[c.Name+" "+c.Lease], c)
	}
	for key, events := range h.byKey {
		name := ownedBy(key)
		if name == "" {
			continue
		}
		for i, e := range events {
			if e.Deleted || e.Version != 1 {
				continue
			}
			gone := h.end
			for _, later := range events[i+1:] {
				if later.Deleted {
					gone = h.bounds.notBefore(later.Revision)
					break
				}
			}
			made := [2]float64{h.bounds.notBefore(e.Revision), h.bounds.notAfter(e.Revision)}
			of, known := claimsOf(claims[name+" "+e.Lease], key, e.Revision)
			if len(of) == 0 && !known {
				report("%s was put at %d by nobody", key, e.Revision)
				continue
			}
			alone := 0.0
			inside := false
			for _, c := range of {
				inside = inside || (c.From <= made[1] && c.To >= made[0]) || (!c.Clean && c.From <= made[0])
			}
			if !inside {
				report("%s came back at %d, after it was released", key, e.Revision)
				continue
			}
			for t := made[1]; t < gone; t += 100 {
				if !covered(of, t) && !h.troubled(t-graceMs, t) {
					alone += 100
				}
			}
			if alone > 3_000 {
				report("%s of %d was there for %.1f s while nobody claimed or held it", key, e.Revision, alone/1e3)
			}
		}
	}
}

// claimsOf returns the claims that a key may belong to that was put at this revision, and whether any claim is known to have
// had the key. Where that claim is known, it is the only one. A session uses a key again once its claim has ended, and in
// elections its claims share one.
func claimsOf(claims []span, key string, revision int64) (of []span, known bool) {
	if strings.HasPrefix(key, "nem/election/") {
		return claims, false
	}
	for _, c := range claims {
		switch {
		case c.Key == key && c.Token == revision:
			return []span{c}, true
		case c.Key == key:
			known = true
		case c.Key == "":
			of = append(of, c)
		}
	}
	return of, known
}

// ownedBy returns the lock, election or barrier that a key belongs to; none for a fence, which owns nothing.
func ownedBy(key string) string {
	parts := strings.Split(key, "/")
	if len(parts) < 4 || parts[0] != "nem" {
		return ""
	}
	name, rest := strings.Join(parts[:3], "/"), parts[3:]
	switch parts[1] {
	case "lock", "election":
		if len(rest) == 1 && !strings.HasSuffix(name, "~fence") {
			return name
		}
	case "rw":
		if len(rest) == 2 {
			return name
		}
	case "barrier":
		if len(rest) == 2 && rest[0] == "waiters" {
			return name
		}
	}
	return ""
}

func covered(spans []span, t float64) bool {
	for _, s := range spans {
		if t >= s.From-50 && t <= s.To+50 {
			return true
		}
	}
	return false
}

// troubled reports whether there was a fault at any time between the two.
func (h *history) troubled(from, to float64) bool {
	for _, f := range h.faults {
		if f.From < to && f.To > from {
			return true
		}
	}
	return false
}

// proclaimed checks that a leader's announcement is not undone by an earlier one of the same leader.
func proclaimed(h *history, report func(string, ...any)) {
	for key, events := range h.byKey {
		if !strings.HasPrefix(ownedBy(key), "nem/election/") {
			continue
		}
		var created int64
		newest := 0
		for _, e := range events {
			if e.Deleted {
				continue
			}
			if e.Created != created {
				created, newest = e.Created, 0
			}
			var number int
			if _, err := fmt.Sscanf(e.Value, "v%d", &number); err != nil || number < newest {
				report("%s got %q at %d after v%d", key, e.Value, e.Revision, newest)
			}
			newest = max(newest, number)
		}
	}
}

// together checks that no worker enters a barrier of two alone: the other one was at it at some time during the
// entering. The other may have given up before this one learns so, or still be about to leave after a round that it
// gave up.
func together(h *history, report func(string, ...any)) {
	for _, a := range h.barriers {
		if a.Entered == 0 {
			continue
		}
		others := 0
		for _, b := range h.barriers {
			if b.Name == a.Name && b.Worker != a.Worker && b.From <= a.Entered && b.To >= a.From {
				others++
			}
		}
		if others == 0 {
			report("%s entered %s alone", a.Worker, a.Name)
		}
	}
}

// released checks that a call that should end a claim doesn't fail while a majority can be reached.
func released(h *history, report func(string, ...any)) {
	for _, o := range h.operations {
		if o.OK || o.Error == nil || o.Error.Name == "ClosedError" || h.lacksMajority(o.Start-1_000, o.End) {
			continue
		}
		// Its process had less than half of the time for the call.
		if h.lateIn(o.Start, o.End) > (o.End-o.Start)/2 {
			continue
		}
		switch o.Kind {
		case "unlock", "resign", "close":
			report("operation %d (%s %s) failed with %q after %.0f ms, though a majority could be reached", o.ID, o.Kind, o.Key,
				o.Error.Message, o.End-o.Start)
		}
	}
}

func (h *history) lacksMajority(from, to float64) bool {
	for _, f := range h.faults {
		if !f.Majority && f.From < to && f.To+2_000 > from {
			return true
		}
	}
	return false
}
