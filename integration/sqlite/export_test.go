package sqlite

// SnapshotSoon makes joins use a snapshot from the third scan on, however
// short the scans were.
func (db *DB) SnapshotSoon() { db.snapshotAfter = -1 }
