package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

const (
	rootTag      = "root"  // of the machine's root, to 9p
	jobParameter = "job="  // of the kernel's command line: the job's directory
	guestRole    = "guest" // argument of the program below init
	guestProgram = "init"
	work         = "/kernels" // the job's copy in the guest's memory
	testLimit    = "80m"      // of one package
	serial       = "/dev/ttyS1"
)

// boot is the first process of the guest. It mounts the root, starts the guest's
// work below itself, waits for orphans as an init must, and switches off.
func boot() {
	if err := startGuest(); err != nil {
		fmt.Println("kernels: init:", err)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func startGuest() error {
	if err := mountRoot(); err != nil {
		return err
	}
	terminal, err := os.OpenFile(serial, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	attributes, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("%s: %w", serial, err)
	}
	attributes.Oflag &^= unix.OPOST
	attributes.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, attributes); err != nil {
		return fmt.Errorf("%s: %w", serial, err)
	}
	cmd := exec.Command(filepath.Join(work, guestProgram), guestRole)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = terminal, terminal
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case pid == cmd.Process.Pid:
			return nil
		}
	}
}

// mountRoot makes the machine's root, with a layer in memory above it, this
// process's own.
func mountRoot() error {
	const lower, layer, root = "/lower", "/layer", "/root"
	kernel := []struct{ kind, dir string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}}
	for _, k := range kernel {
		if err := mount(k.kind, k.dir, k.kind, 0, ""); err != nil {
			return err
		}
	}
	modules, err := filepath.Glob("/modules/*")
	if err != nil {
		return err
	}
	for _, path := range modules {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
			return fmt.Errorf("%s: %w", path, err)
		}
		f.Close()
	}
	err = errors.Join(
		mount(rootTag, lower, "9p", unix.MS_RDONLY, "trans=virtio,version=9p2000.L,msize=524288,cache=loose"),
		mount("layer", layer, "tmpfs", 0, "size=75%"),
		os.Mkdir(layer+"/upper", 0o755), os.Mkdir(layer+"/work", 0o755))
	if err != nil {
		return err
	}
	if err := mount("root", root, "overlay", 0, "lowerdir="+lower+",upperdir="+layer+"/upper,workdir="+layer+"/work"); err != nil {
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	_, job, _ := strings.Cut(strings.TrimSpace(string(line)), jobParameter)
	// Programs run from memory: from 9p they start slowly.
	if err := os.CopyFS(root+work, os.DirFS(root+job)); err != nil {
		return err
	}
	for _, k := range kernel {
		if err := unix.Mount(k.dir, root+k.dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", k.dir, err)
		}
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return errors.Join(mount("run", "/run", "tmpfs", 0, ""), mount("cgroup", "/sys/fs/cgroup", "cgroup2", 0, ""), mount("bpf", "/sys/fs/bpf", "bpf", 0, ""),
		mount("shm", "/dev/shm", "tmpfs", 0, ""), mount("pts", "/dev/pts", "devpts", 0, ""), os.MkdirAll("/run/netns", 0o755))
}

func mount(what, dir, kind string, flags uintptr, options string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(what, dir, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s at %s: %w", kind, dir, err)
	}
	return nil
}

// tell writes a line for the program outside.
func tell(r report) {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // it has texts alone
	}
	fmt.Printf("%s%s\n", reportMark, text)
}

// guest loads the modules and runs the tests.
func guest() {
	if err := carryOut(); err != nil {
		tell(report{Error: err.Error()})
		return
	}
	tell(report{Done: true})
}

func carryOut() error {
	text, err := os.ReadFile(filepath.Join(work, "order.json"))
	if err != nil {
		return err
	}
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 65536, Max: 65536}); err != nil {
		return err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	release := unix.ByteSliceToString(name.Release[:])
	modules := filepath.Join("/lib/modules", release)
	if err := os.MkdirAll(modules, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(o.Modules, modules, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("%s: %w", modules, err)
	}
	if err := exec.Command("ip", "link", "set", "lo", "up").Run(); err != nil {
		return err
	}
	tell(report{Release: release})
	// Here modules could be loaded: none may be by a question.
	if err := test(o.Packages, "^TestNoModuleIsLoaded$", "before modules are loaded: "); err != nil {
		return err
	}
	tell(report{Modules: loadModules(modules)})
	facts, err := facts()
	if err != nil {
		return err
	}
	tell(report{Facts: facts})
	return test(o.Packages, o.Run, "")
}

// test runs the tests whose name matches a regular expression.
func test(packages []testPackage, run, when string) error {
	for _, p := range packages {
		program := filepath.Join(work, p.Program)
		list := exec.Command(program, "-test.list", run)
		list.Dir, list.Env = p.Dir, append(os.Environ(), netnstest.OwnMachineEnv+"=1", "SOCKETS_EXT="+filepath.Join(work, "sockets.ext"))
		names, err := output(list)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			continue
		}
		tell(report{Package: when + p.Name})
		cmd := exec.Command(program, "-test.v", "-test.timeout", testLimit, "-test.run", run, "-test.skip", "^("+strings.Join(slices.Collect(maps.Keys(notHere)), "|")+")$")
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = list.Dir, list.Env, os.Stdout, os.Stdout
		if err := cmd.Run(); err != nil {
			tell(report{Exit: err.Error()})
		}
	}
	return nil
}

// loadModules loads what the tests want and reports where each is: "module",
// "built in", "absent".
func loadModules(dir string) map[string]string {
	// The modules of tunnels put interfaces into each new network namespace, which
	// the tests do not expect.
	if err := os.WriteFile("/proc/sys/net/core/fb_tunnels_only_for_init_net", []byte("1"), 0); err != nil {
		fmt.Println(err)
	}
	found := make(map[string]string)
	builtin, _ := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	for _, name := range wantedModules {
		out, err := exec.Command("modprobe", name).CombinedOutput()
		isBuiltin := false
		for line := range strings.Lines(string(builtin)) {
			file := strings.TrimSuffix(filepath.Base(strings.TrimSpace(line)), ".ko")
			isBuiltin = isBuiltin || strings.ReplaceAll(file, "-", "_") == name
		}
		switch {
		case isBuiltin:
			found[name] = "built in"
		case err == nil:
			found[name] = "module"
		case strings.Contains(string(out), "not found"):
			found[name] = "absent"
		default:
			found[name] = strings.TrimSpace(string(out))
		}
	}
	return found
}

// facts asks the program what it can know under this kernel, beside a TCP
// connection.
func facts() (map[string]string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	c, err := net.DialTimeout("tcp", l.Addr().String(), 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	facts := make(map[string]string)
	sources, err := ask("SELECT proto, source, reason FROM socket_sources")
	if err != nil {
		return nil, err
	}
	for _, r := range sources {
		facts["source of "+text(r["proto"])] = text(r["source"])
	}
	for _, table := range []string{"tcp_info", "tcp_sockets", "interface_statistics"} {
		rows, err := ask("SELECT * FROM " + table)
		if err != nil {
			return nil, err
		}
		absent := make(map[string]bool)
		for column := range rows[0] {
			absent[column] = !slices.ContainsFunc(rows, func(r map[string]any) bool { return text(r[column]) != "" })
		}
		maps.DeleteFunc(absent, func(_ string, is bool) bool { return !is })
		facts["empty columns of "+table] = strings.Join(slices.Sorted(maps.Keys(absent)), " ")
	}
	rows, err := ask("SELECT protocol || ':' || name AS name FROM protocol_statistics")
	if err != nil {
		return nil, err
	}
	facts["rows of protocol_statistics"] = fmt.Sprint(len(rows))
	return facts, nil
}

func text(value any) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

func ask(sql string) ([]map[string]any, error) {
	out, err := output(exec.Command(filepath.Join(work, "sockets.ext"), "query", "--json", sql))
	if err != nil {
		return nil, err
	}
	var rows []map[string]any
	if err := json.Unmarshal(out, &rows); err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("%s: %d rows, %w", sql, len(rows), err)
	}
	return rows, nil
}
