// Package doctor looks for what would keep the extension from working on a host:
// at osquery and what it wants of an extension, at the program's own settings and
// privileges, and at the kernel.
//
//	findings := doctor.Examine(ctx, doctor.Options{Program: path, DB: db})
//	err := doctor.Print(os.Stdout, findings)
//
// It changes nothing, and each wait is bounded.
package doctor
