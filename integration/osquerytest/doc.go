// Package osquerytest is osquery's extension manager in pure Go, for the tests
// of any osquery extension: no osquery, no root, milliseconds.
//
//	func TestJoin(t *testing.T) {
//		m := osquerytest.New(t, osquerytest.Core(osquerytest.Processes(
//			map[string]string{"pid": "1", "name": "init"},
//			map[string]string{"pid": "7", "name": "sshd"})))
//		osquerytest.Serve(t, m, table.NewPlugin("mine", columns, generate))
//
//		answer, err := m.Query(t.Context(), "SELECT name FROM processes JOIN mine USING (pid)")
//		if err != nil {
//			t.Fatal(err)
//		}
//		if got := answer.Lines(); !slices.Equal(got, []string{"sshd"}) {
//			t.Errorf("got %v", got)
//		}
//		if calls := m.CallsOf("mine"); len(calls) > 1 || calls[0].Uses("cmdline") {
//			t.Errorf("the join makes the calls %v", calls)
//		}
//	}
//
// [New] starts a manager on a unix socket. An extension registers with it: one
// in the test's own process by [Serve], a program by its flag --socket, which
// [Manager.WaitFor] waits for, or a built file by [Manager.Autoload].
//
// # Statements
//
// [Manager.Query] plans a statement with SQLite and asks tables for rows by
// osquery's rules. What an author meets most:
//
//   - A condition is sent only if its column has one of the options [Index],
//     [Additional] and [Required]; a column of an extension without any option
//     counts as Index. Conditions are hints: SQLite checks each row again.
//   - A table with such a condition costs 1, without one 1,000,000, and nothing
//     else counts. As the inner side of a join it is called once for each outer
//     row.
//   - x IN (1, 2) is two calls, or with [Optimized] one call with two values. From
//     the second scan of a statement on, the values of that one call are lost.
//   - < > <= >= on a text, and = with NULL or an empty text, are not sent.
//   - LIMIT and OFFSET are sent as conditions on the first column, whatever it is.
//   - The parts of an OR are calls of their own. Without a cell rowid a row's
//     identity is its position in its call: a table that filters loses rows.
//   - The used columns are named. From the 64th on, one used is all used.
//   - Cells are cast as C does: 010 is 8, an INTEGER has 32 bits, and a number
//     that is none is NULL. A text that is absent is empty.
//
// [Manager.Calls] has the requests of the last statement as data.
// [Manager.Generate] and [Manager.Call] send a request as it is.
//
// # Faults
//
// Methods of a manager are named by what goes wrong: [Manager.Forget],
// [Manager.RefuseRegistration], [Manager.FailPings], [Manager.HangPings],
// [Manager.Freeze], [Manager.ReadSlowly], [Manager.LimitMessages], [Manager.Kill],
// [Manager.Restart] and [Manager.Stop]; [NotStarted] is a manager that comes late.
//
// # A real osquery
//
// [StartReal] runs a real osqueryi behind the same interface, [Osquery], so that
// a test runs in both. The manager itself is held to a recording of osquery 5.23
// in this way, errors and faults of osquery included. Its SQLite is newer than
// osquery's 3.42: a few plans of outer joins and of LIMIT differ, their rows do
// not. It has none of osquery's SQL functions, and of its tables those that a
// test gives it.
package osquerytest
