package sqlite

import "time"

// SnapshotSoon makes joins use a snapshot from the third scan on, however
// short the scans were.
func (db *DB) SnapshotSoon() { db.snapshotGrant = time.Hour }

// RunsPlain reports whether package plain runs a statement.
func (db *DB) RunsPlain(sql string) bool {
	_, ok := db.plain(sql)
	return ok
}
