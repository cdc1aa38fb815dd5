package osquery

import "time"

// SnapshotSoon makes the third call of a burst take a snapshot, however short the
// calls before it were.
func (p *TablePlugin) SnapshotSoon() { p.bursts.grant = time.Hour }
