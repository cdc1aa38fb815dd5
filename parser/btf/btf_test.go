package btf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// kernel returns BTF, which github.com/cilium/ebpf writes, with every kind of type.
func kernel(t testing.TB, order binary.ByteOrder) []byte {
	t.Helper()
	u16 := &btf.Int{Name: "unsigned short", Size: 2}
	u64 := &btf.Int{Name: "unsigned long", Size: 8}
	signed := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	mode := &btf.Typedef{Name: "umode_t", Type: &btf.Const{Type: &btf.Volatile{Type: &btf.Restrict{Type: u16}}}}
	inode := &btf.Struct{Name: "inode", Size: 24, Members: []btf.Member{
		{Name: "i_mode", Type: mode},
		{Name: "flag", Type: u16, Offset: 16, BitfieldSize: 1},
		{Name: "kind", Type: &btf.Enum{Name: "kind", Size: 4, Values: []btf.EnumValue{{Name: "one", Value: 1}}}, Offset: 32},
		{Name: "wide", Type: &btf.Enum{Name: "wide", Size: 8, Values: []btf.EnumValue{{Name: "two", Value: 1 << 40}}}, Offset: 64},
		{Name: "i_ino", Type: u64, Offset: 128},
	}}
	task := &btf.Struct{Name: "task", Size: 40, Members: []btf.Member{
		{Name: "usage", Type: signed},
		{Offset: 64, Type: &btf.Struct{Size: 32, Members: []btf.Member{ // of randomized structures
			{Offset: 64, Type: &btf.Union{Size: 8, Members: []btf.Member{
				{Name: "inode", Type: &btf.Pointer{Target: inode}}, {Name: "number", Type: u64}}}},
			{Name: "tgid", Type: signed, Offset: 128},
		}}},
		{Name: "array", Type: &btf.Array{Index: signed, Type: signed, Nelems: 2}, Offset: 8 * 32},
	}}
	same := func(offset btf.Bits) *btf.Struct {
		return &btf.Struct{Name: "twice", Size: 16, Members: []btf.Member{{Name: "same", Type: signed}, {Name: "other", Type: signed, Offset: offset}}}
	}
	function := &btf.Func{Name: "called", Type: &btf.FuncProto{Return: signed, Params: []btf.FuncParam{{Name: "i", Type: &btf.Pointer{Target: inode}}}}}
	variable := &btf.Var{Name: "v", Type: u64}
	builder, err := btf.NewBuilder([]btf.Type{
		inode, task, same(32), same(64), function, variable,
		&btf.Struct{Name: "called", Size: 4, Members: []btf.Member{{Name: "a", Type: signed}}},
		&btf.Fwd{Name: "forward"}, &btf.Float{Name: "double", Size: 8},
		&btf.Datasec{Name: ".data", Size: 8, Vars: []btf.VarSecinfo{{Type: variable, Size: 8}}},
		&btf.TypeTag{Value: "rcu", Type: u64}, &btf.Struct{Name: "last", Size: 4, Members: []btf.Member{{Name: "a", Type: signed}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := builder.Marshal(nil, &btf.MarshalOptions{Order: order})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var names = []string{"inode", "task", "twice", "called", "last"}

func TestMembers(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		types, err := Parse(kernel(t, order), order, names...)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			of, name string
			want     Member
			err      string
		}{
			{"inode", "i_mode", Member{0, 2}, ""},
			{"inode", "kind", Member{4, 4}, ""},
			{"inode", "wide", Member{8, 8}, ""},
			{"inode", "i_ino", Member{16, 8}, ""},
			{"task", "inode", Member{16, 8}, ""},
			{"task", "number", Member{16, 8}, ""},
			{"task", "tgid", Member{24, 4}, ""},
			{"last", "a", Member{0, 4}, ""},
			{"twice", "same", Member{0, 4}, ""},
			{"called", "a", Member{0, 4}, ""},
			{"twice", "other", Member{}, "several struct twice"},
			{"inode", "flag", Member{}, "is not in BTF"}, // a bit has no address
			{"task", "array", Member{}, "is not in BTF"}, // no register holds it
			{"task", "i_ino", Member{}, "is not in BTF"},
			{"none", "a", Member{}, "is not in BTF"},
		} {
			t.Run(order.String()+" "+c.of+" "+c.name, func(t *testing.T) {
				got, err := types.Member(c.of, c.name)
				if c.err != "" {
					if err == nil || !strings.Contains(err.Error(), c.err) {
						t.Errorf("%v, %v", got, err)
					}
					return
				}
				if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
					t.Errorf("%v, want (-), got (+):\n%s", err, diff)
				}
			})
		}
	}
}

// The number of a function is that which others find.
func TestFunc(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		t.Run(order.String(), func(t *testing.T) {
			b := kernel(t, order)
			spec, err := btf.LoadSpecFromReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			var function *btf.Func
			if err := spec.TypeByName("called", &function); err != nil {
				t.Fatal(err)
			}
			want, err := spec.TypeID(function)
			if err != nil {
				t.Fatal(err)
			}
			types, err := Parse(b, order, names...)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := types.Func("called"); err != nil || got != uint32(want) {
				t.Errorf("%d, %v, want %d", got, err, want)
			}
			for _, none := range []string{"inode", "none"} {
				if got, err := types.Func(none); !errors.Is(err, ErrNotFound) {
					t.Errorf("%s: %d, %v", none, got, err)
				}
			}
		})
	}
}

// What is cut off, or of no known kind, is an error.
func TestBroken(t *testing.T) {
	order := binary.LittleEndian
	whole := kernel(t, order)
	changed := func(at int, n uint32) []byte {
		b := slices.Clone(whole)
		order.PutUint32(b[at:], n)
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "short header": whole[:headerSize-1], "short": whole[:len(whole)-1],
		"another magic number": changed(0, 7), "types that end in a type": changed(12, order.Uint32(whole[12:])-1),
		"types at the end of the numbers": changed(8, 1<<32-1), "texts beyond": changed(20, 1<<31),
		"an unknown kind": changed(headerSize+4, 31<<24), "as many members as go": changed(headerSize+4, kindStruct<<24|0xffff),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(b, order, names...); err == nil {
				t.Error("no error")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := kernel(f, order)
		f.Add(b, order == binary.BigEndian)
		f.Add(b[:len(b)/2], order == binary.BigEndian)
	}
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		types, err := Parse(b, order, names...)
		if err != nil {
			return
		}
		for _, name := range names {
			if n, err := types.Func(name); err == nil && n == 0 {
				t.Errorf("the function %s is void", name)
			}
			for _, member := range []string{"i_mode", "tgid", "same", "a", ""} {
				if m, err := types.Member(name, member); err == nil && m.Size == 0 && m.Offset > 1<<29 {
					t.Errorf("%s of %s is %v", member, name, m)
				}
			}
		}
	})
}
