package osquerycore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/parser/etc"
	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// single declares a table of one row.
func single[R any](t schema.TableDef[R], read func() (R, error)) schema.Table {
	t.RowID = func(*R) int64 { return 1 }
	t.Rows = func(context.Context, schema.Query) iter.Seq2[R, error] {
		return values(func() ([]R, error) {
			r, err := read()
			return []R{r}, err
		})
	}
	return schema.Bind(t)
}

// machineName is uname(2)'s name of the hardware.
func machineName() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Machine[:])
}

func clock(*machine) schema.Table {
	type row = time.Time
	part := func(name, doc string, get func(row) int) schema.AnyColumn[row] {
		return schema.NotNull(name, doc, func(t *row) int32 { return int32(get(*t)) })
	}
	iso := func(t *row) string { return t.Format("2006-01-02T15:04:05Z") }
	return single(schema.TableDef[row]{
		Name:     "time",
		Doc:      "osquery's table of the time, in UTC.",
		Examples: []string{"SELECT unix_time, datetime FROM time"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("weekday", "Day of the week.", func(t *row) string { return t.Weekday().String() }),
			part("year", "Year.", row.Year),
			part("month", "Month, 1 to 12.", func(t row) int { return int(t.Month()) }),
			part("day", "Day of the month.", row.Day),
			part("hour", "Hour.", row.Hour),
			part("minutes", "Minutes.", row.Minute),
			part("seconds", "Seconds.", row.Second),
			schema.NotNull("timezone", "UTC.", func(*row) string { return "UTC" }),
			schema.NotNull("local_timezone", "Time zone of this process.", func(t *row) string { zone, _ := t.Local().Zone(); return zone }),
			schema.NotNull("unix_time", "Seconds since 1970.", func(t *row) int64 { return t.Unix() }),
			schema.NotNull("timestamp", "The time as ctime(3) writes it, and UTC.", func(t *row) string { return t.Format("Mon Jan _2 15:04:05 2006") + " UTC" }),
			schema.NotNull("datetime", "The time as ISO 8601 writes it.", iso, schema.Synonym("date_time")),
			schema.NotNull("iso_8601", "The same.", iso),
		},
	}, func() (row, error) { return time.Now().UTC(), nil })
}

func uptime(m *machine) schema.Table {
	type row = int64
	part := func(name, doc string, unit, of int64) schema.AnyColumn[row] {
		return schema.NotNull(name, doc, func(s *row) int32 { return int32(*s / unit % of) })
	}
	const forever = 1 << 31
	return single(schema.TableDef[row]{
		Name:     "uptime",
		Doc:      "osquery's table of how long the host runs.",
		Examples: []string{"SELECT days, hours, minutes FROM uptime"},
		Columns: []schema.AnyColumn[row]{
			part("days", "Days.", 86400, forever),
			part("hours", "Hours beside the days.", 3600, 24),
			part("minutes", "Minutes beside the hours.", 60, 60),
			part("seconds", "Seconds beside the minutes.", 1, 60),
			schema.NotNull("total_seconds", "Seconds in all.", func(s *row) int64 { return *s }),
		},
	}, func() (row, error) {
		path := filepath.Join(m.Proc(), "uptime")
		s, ok := proc.Uptime([]byte(text(path)))
		if !ok {
			return 0, &os.PathError{Op: "read", Path: path, Err: os.ErrInvalid}
		}
		return s, nil
	})
}

func osVersion(m *machine) schema.Table {
	type row = etc.Release
	word := func(name, doc, of string) schema.AnyColumn[row] {
		return schema.NotNull(name, doc, func(r *row) string { return (*r)[of] })
	}
	number := func(name, doc string, at int) schema.AnyColumn[row] {
		return schema.NotNull(name, doc, func(r *row) int32 {
			parts := strings.Split((*r)["VERSION_ID"], ".")
			if at >= len(parts) {
				return 0
			}
			n, _ := strconv.ParseInt(parts[at], 10, 32)
			return int32(n)
		})
	}
	return single(schema.TableDef[row]{
		Name:     "os_version",
		Doc:      "osquery's table of the distribution, from /etc/os-release. On Red Hat's and Gentoo's osquery has other words for some.",
		Examples: []string{"SELECT name, version, platform FROM os_version"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("name", "Name of the distribution.", func(r *row) string {
				if name := (*r)["NAME"]; name != "" {
					return name
				}
				return "Unknown"
			}),
			word("version", "Version as people read it.", "VERSION"),
			number("major", "First part of the version.", 0),
			number("minor", "Second part of the version; 0 if there is none.", 1),
			number("patch", "Third part of the version; 0 if there is none.", 2),
			word("build", "Build. Empty if there is none.", "BUILD_ID"),
			schema.NotNull("platform", "Name of the distribution in lower case.", func(r *row) string {
				if id := (*r)["ID"]; id != "" {
					return id
				}
				return "posix"
			}),
			word("platform_like", "Distributions that it is like, with blanks between.", "ID_LIKE"),
			word("codename", "Name of the version.", "VERSION_CODENAME"),
			schema.NotNull("arch", "Architecture of the kernel, as uname -m shows it.", func(*row) string { return machineName() }),
		},
	}, func() (row, error) {
		file, err := m.open("etc/os-release")
		if file == nil {
			return nil, err
		}
		defer file.Close()
		return etc.DecodeRelease(file)
	})
}

// kernel is a row of kernel_info.
type kernel struct{ version, arguments, path, device string }

func kernelInfo(m *machine) schema.Table {
	return single(schema.TableDef[kernel]{
		Name:     "kernel_info",
		Doc:      "osquery's table of the kernel that runs.",
		Examples: []string{"SELECT version, arguments FROM kernel_info"},
		Columns: []schema.AnyColumn[kernel]{
			schema.NotNull("version", "Release of the kernel, as uname -r shows it.", func(k *kernel) string { return k.version }),
			schema.NotNull("arguments", "Arguments of the kernel, without the two below.", func(k *kernel) string { return k.arguments }),
			schema.NotNull("path", "Image that was booted. Empty if the boot loader did not say.", func(k *kernel) string { return k.path }),
			schema.NotNull("device", "Device with the root filesystem. Empty if the arguments do not say.", func(k *kernel) string { return k.device }),
		},
	}, func() (k kernel, err error) {
		k.version = text(m.Proc(), "sys/kernel/osrelease")
		var rest []string
		for _, argument := range strings.Fields(text(m.Proc(), "cmdline")) {
			if path, ok := strings.CutPrefix(argument, "BOOT_IMAGE="); ok {
				k.path = path
			} else if device, ok := strings.CutPrefix(argument, "root="); ok {
				k.device = device
			} else {
				rest = append(rest, argument)
			}
		}
		k.arguments = strings.Join(rest, " ")
		return k, nil
	})
}

// system is a row of system_info.
type system struct {
	hostname string
	cpus     []proc.CPU
	memory   int64
}

// first is the first CPU.
func (s *system) first() proc.CPU {
	if len(s.cpus) == 0 {
		return proc.CPU{}
	}
	return s.cpus[0]
}

func systemInfo(m *machine) schema.Table {
	cpu := func(name, doc string, get func(proc.CPU) string) schema.AnyColumn[system] {
		return schema.NotNull(name, doc, func(s *system) string { return get(s.first()) })
	}
	// Only root may read serial numbers.
	dmi := func(name, doc, file string) schema.AnyColumn[system] {
		return schema.NotNull(name, doc, func(*system) string { return text(m.Root, "sys/class/dmi/id", file) })
	}
	name := func(s *system) string { return s.hostname }
	return single(schema.TableDef[system]{
		Name:     "system_info",
		Doc:      "osquery's table of the machine. uuid is the firmware's; osquery invents one where the firmware has none, and here it is empty. hostname is as the kernel has it; osquery asks DNS for the rest.",
		Examples: []string{"SELECT hostname, cpu_brand, physical_memory FROM system_info"},
		Columns: []schema.AnyColumn[system]{
			schema.NotNull("hostname", "Name of the host.", name),
			schema.NotNull("uuid", "Number of the machine that its firmware has. Empty without root.", func(*system) string {
				return strings.ToLower(text(m.Root, "sys/class/dmi/id/product_uuid"))
			}),
			schema.NotNull("cpu_type", "Architecture, as uname -m shows it.", func(*system) string { return machineName() }),
			cpu("cpu_subtype", "Model of the CPU, a number; 0 if it is not known.", func(c proc.CPU) string {
				if c.Model == "" {
					return "0"
				}
				return c.Model
			}),
			cpu("cpu_brand", "Name of the CPU.", func(c proc.CPU) string { return c.Name }),
			schema.NotNull("cpu_physical_cores", "Cores.", func(s *system) int32 {
				cores := make(map[[2]string]bool)
				for _, c := range s.cpus {
					cores[[2]string{c.Package, c.Core}] = true
				}
				return int32(len(cores))
			}),
			schema.NotNull("cpu_logical_cores", "Threads of all cores.", func(s *system) int32 { return int32(len(s.cpus)) }),
			schema.Nullable("cpu_sockets", "Processors. NULL if that is not known.", func(s *system) (int32, bool) {
				if n := s.first().Siblings; n > 0 {
					return int32(len(s.cpus)) / int32(n), true
				}
				return 0, false
			}),
			cpu("cpu_microcode", "Version of the microcode.", func(c proc.CPU) string { return c.Microcode }),
			schema.NotNull("physical_memory", "Memory, bytes.", func(s *system) int64 { return s.memory }),
			dmi("hardware_vendor", "Who made the machine.", "sys_vendor"),
			dmi("hardware_model", "Model of the machine.", "product_name"),
			dmi("hardware_version", "Version of the machine.", "product_version"),
			dmi("hardware_serial", "Serial number of the machine. Empty without root.", "product_serial"),
			dmi("board_vendor", "Who made the board.", "board_vendor"),
			dmi("board_model", "Model of the board.", "board_name"),
			dmi("board_version", "Version of the board.", "board_version"),
			dmi("board_serial", "Serial number of the board. Empty without root.", "board_serial"),
			schema.NotNull("computer_name", "Name of the host.", name),
			schema.NotNull("local_hostname", "Name of the host.", name),
		},
	}, func() (s system, err error) {
		s.hostname = text(m.Proc(), "sys/kernel/hostname")
		fs, err := procfs.NewFS(m.Proc())
		if err != nil {
			return s, err
		}
		file, err := regular.Open(filepath.Join(m.Proc(), "cpuinfo"))
		if err != nil {
			return s, err
		}
		defer file.Close()
		if s.cpus, err = proc.CPUs(file); err != nil {
			return s, err
		}
		memory, err := fs.Meminfo()
		if err != nil {
			return s, err
		}
		if memory.MemTotalBytes != nil {
			s.memory = int64(*memory.MemTotalBytes)
		}
		return s, nil
	})
}

func osqueryInfo(m *machine) schema.Table {
	type row = struct{}
	word := func(name, doc, value string) schema.AnyColumn[row] {
		return schema.NotNull(name, doc, func(*row) string { return value })
	}
	number := func(name, doc string, value int64) schema.AnyColumn[row] {
		return schema.NotNull(name, doc, func(*row) int32 { return int32(value) })
	}
	// An identity of this run, so that none is stored.
	id := sha256.Sum256([]byte(strconv.Itoa(os.Getpid()) + " " + m.Start.String()))
	return single(schema.TableDef[row]{
		Name:     "osquery_info",
		Doc:      "What answers: this program, which is not osquery, as version says.",
		Examples: []string{"SELECT version, pid FROM osquery_info"},
		Columns: []schema.AnyColumn[row]{
			number("pid", "This process.", int64(os.Getpid())),
			schema.NotNull("uuid", "As in system_info.", func(*row) string { return strings.ToLower(text(m.Root, "sys/class/dmi/id/product_uuid")) }),
			word("instance_id", "Identity of this run.", hex.EncodeToString(id[:16])),
			word("version", "Version of this program, and that it is not osquery.", "not osquery: osquery-sockets "+m.Version),
			word("config_hash", "Empty: there is no configuration.", ""),
			number("config_valid", "0: there is no configuration.", 0),
			word("extensions", "inactive.", "inactive"),
			word("build_platform", "linux.", "linux"),
			word("build_distro", "Empty: it runs on any.", ""),
			number("start_time", "When this process started, seconds since 1970.", m.Start.Unix()),
			number("watcher", "-1: there is none.", -1),
			number("platform_mask", "9, osquery's number of Linux.", 9),
		},
	}, func() (row, error) { return row{}, nil })
}
