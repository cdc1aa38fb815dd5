package parser_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// functions returns the functions of the Go files of a directory, of its tests or
// of the rest. A method is named Type.Method.
func functions(t *testing.T, dir string, tests bool) map[string]*ast.FuncDecl {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*ast.FuncDecl)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				all[receiver(f)+f.Name.Name] = f
			}
		}
	}
	return all
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

// writers take bytes or a text and decode nothing.
var writers = map[string]string{
	"NewLineError":            "it quotes a line",
	"Line.Error":              "it quotes a line",
	"Words":                   "it takes words of the program",
	"Entries":                 "the targets of passwd and services do",
	"network/HardwareAddress": "it writes an address",
	"network/CompareNames":    "it compares",
	"sock/Hash.Text":          "it hashes",
}

// decodes reports whether a function is a decoder: it is exported and takes bytes,
// a reader of them, or a text alone.
func decodes(f *ast.FuncDecl) bool {
	of := receiver(f)
	if !f.Name.IsExported() || of != "" && !ast.IsExported(of) || strings.HasPrefix(f.Name.Name, "Append") {
		return false
	}
	for _, p := range f.Type.Params.List {
		switch of := p.Type.(type) {
		case *ast.Ident:
			if of.Name == "string" && f.Type.Params.NumFields() == 1 {
				return true
			}
		case *ast.SelectorExpr:
			if x, ok := of.X.(*ast.Ident); ok && x.Name == "io" && of.Sel.Name == "Reader" {
				return true
			}
		case *ast.ArrayType:
			if element, ok := of.Elt.(*ast.Ident); ok && of.Len == nil && element.Name == "byte" {
				return true
			}
		}
	}
	return false
}

// fuzzed are the names that the fuzz targets use, themselves or by functions of
// their package's tests.
func fuzzed(tests map[string]*ast.FuncDecl) map[string]bool {
	used := make(map[string]bool)
	var use func(f *ast.FuncDecl)
	use = func(f *ast.FuncDecl) {
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && !used[id.Name] {
				used[id.Name] = true
				if of := tests[id.Name]; of != nil {
					use(of)
				}
			}
			return true
		})
	}
	for name, f := range tests {
		if strings.HasPrefix(name, "Fuzz") {
			use(f)
		}
	}
	return used
}

// Bytes of a kernel, and of whoever writes its files, go through decoders that are
// fuzzed.
func TestDecodersAreFuzzed(t *testing.T) {
	decoders := 0
	err := filepath.WalkDir(".", func(dir string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || entry.Name() == "testdata" {
			return err
		}
		used := fuzzed(functions(t, dir, true))
		for name, f := range functions(t, dir, false) {
			name := filepath.ToSlash(filepath.Join(dir, name))
			if !decodes(f) || writers[name] != "" {
				continue
			}
			decoders++
			t.Run(name, func(t *testing.T) {
				if !used[f.Name.Name] {
					t.Errorf("no fuzz target of %s calls it", dir)
				}
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if decoders == 0 {
		t.Error("there are no decoders")
	}
}
