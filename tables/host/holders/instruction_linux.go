package holders

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/parser/btf"
)

// instruction is struct bpf_insn (Documentation/bpf/standardization/instruction-set.rst).
type instruction struct {
	code     uint8
	to, from register
	offset   int16
	constant int32
}

type register uint8

// The registers: 0 is the result, 1 to 5 are arguments, which calls overwrite, and
// 10 is the end of the stack.
const (
	r0  register = 0
	r1  register = 1
	r2  register = 2
	r3  register = 3
	r6  register = 6
	r7  register = 7
	r8  register = 8
	r10 register = 10
)

// seqWrite is BPF_FUNC_seq_write.
const seqWrite = 127

// sizes are the codes of 1, 2, 4 and 8 bytes.
var sizes = map[uint32]uint8{1: unix.BPF_B, 2: unix.BPF_H, 4: unix.BPF_W, 8: unix.BPF_DW}

// load reads a member of the structure at from.
func load(to, from register, m btf.Member) instruction {
	return instruction{code: unix.BPF_LDX | unix.BPF_MEM | sizes[m.Size], to: to, from: from, offset: int16(m.Offset)}
}

// store writes to the stack.
func store(offset int16, from register, size uint32) instruction {
	return instruction{code: unix.BPF_STX | unix.BPF_MEM | sizes[size], to: r10, from: from, offset: offset}
}

func move(to, from register) instruction {
	return instruction{code: unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X, to: to, from: from}
}

func set(to register, n int32) instruction {
	return instruction{code: unix.BPF_ALU64 | unix.BPF_MOV, to: to, constant: n}
}

func add(to register, n int32) instruction {
	return instruction{code: unix.BPF_ALU64 | unix.BPF_ADD, to: to, constant: n}
}

func and(to register, n int32) instruction {
	return instruction{code: unix.BPF_ALU64 | unix.BPF_AND, to: to, constant: n}
}

// endIf and endUnless go to the end of the program if the register is n, or unless
// it is.
func endIf(r register, n int32) instruction {
	return instruction{code: unix.BPF_JMP | unix.BPF_JEQ, to: r, constant: n}
}

func endUnless(r register, n int32) instruction {
	return instruction{code: unix.BPF_JMP | unix.BPF_JNE, to: r, constant: n}
}

func call(function int32) instruction {
	return instruction{code: unix.BPF_JMP | unix.BPF_CALL, constant: function}
}

// assemble returns the bytes of a program, which ends with the result 0.
func assemble(code []instruction) []byte {
	end := len(code)
	code = append(code, set(r0, 0), instruction{code: unix.BPF_JMP | unix.BPF_EXIT})
	b := make([]byte, 0, instructionSize*len(code))
	for at, i := range code {
		switch i.code {
		case endIf(r0, 0).code, endUnless(r0, 0).code:
			i.offset = int16(end - at - 1)
		}
		registers := uint8(i.to) | uint8(i.from)<<4
		if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 { // bit fields begin at the other end
			registers = uint8(i.to)<<4 | uint8(i.from)
		}
		b = append(b, i.code, registers)
		b = binary.NativeEndian.AppendUint16(b, uint16(i.offset))
		b = binary.NativeEndian.AppendUint32(b, uint32(i.constant))
	}
	return b
}

const instructionSize = 8
