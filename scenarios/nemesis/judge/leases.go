package main

import "strconv"

// leased checks that no lease ends on which its holder, by its own clock, may still rely.
func leased(h *history, report func(string, ...any)) {
	for _, s := range h.leases {
		for _, e := range h.byKey[s.Key] {
			if !e.Deleted || h.bounds.notAfter(e.Revision) < s.From {
				continue
			}
			if ended := h.bounds.notAfter(e.Revision); ended+50+h.lateIn(ended-1_000, s.To) < s.To {
				report("%s went with lease %s at %d, %.0f ms before its holder stopped to rely on it", s.Key, s.Lease, e.Revision,
					s.To-ended)
			}
		}
	}
}

// closed checks that a closed session leaves no key. Its lease may exist again if the grant was sent more than once.
// Such a lease holds nothing, and expires.
func closed(h *history, report func(string, ...any)) {
	until := map[string]float64{}
	for _, s := range h.closed {
		until[s.Lease] = s.From
	}
	for key, events := range h.byKey {
		for i, e := range events {
			at, known := until[e.Lease]
			if e.Lease == "" || e.Deleted || !known {
				continue
			}
			if i+1 < len(events) && h.bounds.notBefore(events[i+1].Revision) <= at {
				continue
			}
			report("%s of session %s was there after close()", key, e.Lease)
		}
	}
}

// lateRevokeMs is how long a session that could not be made may take to revoke its lease in the background.
const lateRevokeMs = 20_000

// leftBehind checks the results of grants and revocations against the leases that existed in the end. A lease is
// recognized by its TTL, which is long enough that none ends by itself.
func leftBehind(h *history, report func(string, ...any)) {
	// By both: a repeated grant may leave two.
	byTTL, byID := map[int64]leftLease{}, map[string]bool{}
	for _, l := range h.left {
		byTTL[l.TTL], byID[l.Lease] = l, true
	}
	granted := map[int64]string{}
	for _, o := range h.operations {
		ttl, err := strconv.ParseInt(o.Key, 10, 64)
		if err != nil {
			continue
		}
		lease, there := byTTL[ttl]
		id, known := granted[ttl]
		switch {
		case o.Kind == "grant" && o.OK:
			granted[ttl] = o.Found
		case o.Kind == "grant" && there && o.Error.saysNotApplied():
			report("operation %d (grant) failed with %q, sent %t, and lease %s was granted", o.ID, o.Error.Message, o.Error.Sent,
				lease.Lease)
		case o.Kind == "revoke" && o.OK && byID[id]:
			report("operation %d revoked lease %s, which was there in the end", o.ID, id)
		case o.Kind == "revoke" && !o.OK && known && !byID[id] && o.Error.saysNotApplied():
			report("operation %d (revoke) failed with %q, sent %t, and the lease was revoked", o.ID, o.Error.Message, o.Error.Sent)
		case o.Kind == "short-session" && !o.OK && there && o.End < lease.From-lateRevokeMs:
			report("operation %d (Session.create) failed with %q, and left lease %s behind", o.ID, o.Error.Message, lease.Lease)
		}
	}
}
