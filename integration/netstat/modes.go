package netstat

import (
	"fmt"
	"strconv"
	"strings"
)

// signed is a number of 32 bits as C prints it with a sign.
func signed(cell []byte) string {
	if n, err := strconv.ParseUint(string(cell), 10, 32); err == nil {
		return strconv.FormatInt(int64(int32(n)), 10)
	}
	return string(cell)
}

// families are those that are asked for, of a mode that shows IPv4 alone if none
// is.
func (o *Options) families() (ipv4, ipv6 bool) { return o.IPv4 || !o.IPv6, o.IPv6 }

// Routes returns what netstat -r prints. Names of networks are not looked up.
func (o *Options) Routes() (views []View) {
	ipv4, ipv6 := o.families()
	if ipv4 {
		header := "Kernel IP routing table\nDestination     Gateway         Genmask         "
		switch o.Extend {
		case 0:
			header += "Flags   MSS Window  irtt Iface\n"
		case 1:
			header += "Flags Metric Ref    Use Iface\n"
		default:
			header += "Flags Metric Ref    Use Iface    MSS   Window irtt\n"
		}
		views = append(views, View{
			Header: header,
			SQL: "SELECT destination, gateway, genmask, flags, metric, ref, use, interface, mss, window, irtt, prefix_length" +
				" FROM network_routes WHERE family = 2 AND source = 'procfs'",
			Row: o.routeRow,
		})
	}
	if ipv6 {
		views = append(views, View{
			Header: "Kernel IPv6 routing table\nDestination                    Next Hop                   Flag Met Ref  Use If\n",
			SQL: "SELECT destination || '/' || prefix_length, iif(gateway = '', '::', gateway), flags, metric, ref, use, interface" +
				" FROM network_routes WHERE family = 10 AND source = 'procfs'",
			Row: func(b []byte, c [][]byte) []byte {
				destination, prefix, _ := strings.Cut(string(c[0]), "/")
				return fmt.Appendf(b, "%-30s %-26s %-4s %-3s %-1s %6s %s\n",
					string(o.address([]byte(destination)))+"/"+prefix, o.address(c[1]), c[2], signed(c[3]), number(c[4]), number(c[5]), c[6])
			},
		})
	}
	return views
}

// routeWidth is what netstat gives an address in the table of routes.
const routeWidth = 15

func (o *Options) routeRow(b []byte, c [][]byte) []byte {
	cut := func(s string) string { return s[:min(len(s), routeWidth)] }
	destination, gateway := string(c[0]), string(c[1])
	if gateway == "" || strings.Contains(gateway, ":") {
		gateway = "0.0.0.0"
	}
	host := string(c[11]) == "32"
	switch {
	case o.NumericHosts:
	case destination == "0.0.0.0" && string(c[11]) == "0":
		destination = "default"
	case host:
		destination = string(o.address([]byte(destination)))
	}
	gateway = string(o.address([]byte(gateway)))
	interfaceName := string(c[7])
	if interfaceName == "" {
		interfaceName = "*"
	}
	flags := string(c[3])
	metric, ref, use := signed(c[4]), number(c[5]), number(c[6])
	b = fmt.Appendf(b, "%-15s ", cut(destination))
	if strings.HasPrefix(flags, "!") {
		b = fmt.Appendf(b, "-               %-15s %-5s ", cut(string(c[2])), flags)
		switch o.Extend {
		case 0:
			b = append(b, "    - -          - -"...)
		case 1:
			b = fmt.Appendf(b, "%-6s -  %7s -", metric, use)
		default:
			b = fmt.Appendf(b, "%-6s -  %7s -        -     -      -", metric, use)
		}
		return append(b, '\n')
	}
	b = fmt.Appendf(b, "%-15s %-15s %-5s ", cut(gateway), cut(string(c[2])), flags)
	switch o.Extend {
	case 0:
		b = fmt.Appendf(b, "%5s %-5s %6s %s", number(c[8]), number(c[9]), number(c[10]), interfaceName)
	case 1:
		b = fmt.Appendf(b, "%-6s %-2s %7s %s", metric, ref, use, interfaceName)
	default:
		b = fmt.Appendf(b, "%-6s %-3s %6s %-6s   %-5s %-6s %s", metric, ref, use, cutName([]byte(interfaceName), 6), number(c[8]), number(c[9]), number(c[10]))
	}
	return append(b, '\n')
}

// Interfaces returns what netstat -i prints.
func (o *Options) Interfaces() []View {
	sql := "SELECT interface, mtu, rx_ok, rx_err, rx_drp, rx_ovr, tx_ok, tx_err, tx_drp, tx_ovr, flags FROM interface_statistics"
	if !o.All {
		sql += " WHERE flags LIKE '%U' OR flags_number IS NULL" // of a saved /proc
	}
	return []View{{
		Header: "Kernel Interface table\nIface             MTU    RX-OK RX-ERR RX-DRP RX-OVR    TX-OK TX-ERR TX-DRP TX-OVR Flg\n",
		SQL:    sql,
		Row: func(b []byte, c [][]byte) []byte {
			flags, mtu := string(c[10]), string(c[1])
			switch {
			case mtu == "":
				flags, mtu = "-", "-" // not told
			case flags == "":
				flags = "[NO FLAGS]"
			}
			return fmt.Appendf(b, "%-15s %5s %8s %6s %6s %-6s %8s %6s %6s %6s %s\n",
				c[0], mtu, number(c[2]), number(c[3]), number(c[4]), number(c[5]), number(c[6]), number(c[7]), number(c[8]), number(c[9]), flags)
		},
	}}
}

// Groups returns what netstat -g prints.
func (o *Options) Groups() []View {
	sql := "SELECT interface, users, group_address FROM multicast_groups WHERE proto "
	switch {
	case o.IPv4 && !o.IPv6:
		sql += "= 'igmp'"
	case o.IPv6 && !o.IPv4:
		sql += "= 'igmp6'"
	default:
		sql += "IN ('igmp', 'igmp6')"
	}
	return []View{{
		Header: "IPv6/IPv4 Group Memberships\nInterface       RefCnt Group\n--------------- ------ ---------------------\n",
		SQL:    sql,
		Row: func(b []byte, c [][]byte) []byte {
			return fmt.Appendf(b, "%-15s %-6s %s\n", c[0], c[1], o.address(c[2]))
		},
	}}
}

// Statistics returns the counters that netstat -s takes from, under the kernel's
// names and not in netstat's sentences.
func (o *Options) Statistics() []View {
	var groups []string
	add := func(wanted bool, ipv4, ipv6 []string) {
		four, six := o.families()
		if wanted && four {
			groups = append(groups, ipv4...)
		}
		if wanted && six {
			groups = append(groups, ipv6...)
		}
	}
	every := !o.TCP && !o.UDP && !o.UDPLite && !o.SCTP && !o.Raw
	add(every || o.Raw, []string{"Ip", "Icmp", "IcmpMsg", "IpExt"}, []string{"Ip6", "Icmp6"})
	add(every || o.TCP, []string{"Tcp", "TcpExt", "MPTcpExt"}, nil)
	add(every || o.UDP, []string{"Udp"}, []string{"Udp6"})
	add(every || o.UDPLite, []string{"UdpLite"}, []string{"UdpLite6"})
	add(every || o.SCTP, []string{"Sctp"}, nil)
	last := ""
	return []View{{
		SQL: "SELECT protocol, name, value, unit, description FROM protocol_statistics WHERE protocol IN ('" + strings.Join(groups, "', '") + "')",
		Row: func(b []byte, c [][]byte) []byte {
			if protocol := string(c[0]); protocol != last {
				b, last = fmt.Appendf(b, "%s:\n", protocol), protocol
			}
			return fmt.Appendf(b, "    %-28s %20s %s\n", c[1], c[2], strings.TrimSuffix(string(c[3])+"  "+string(c[4]), "  "))
		},
	}}
}

// Masqueraded returns what netstat -M printed where the kernel still had a list
// for it: of each connection the ports of both ends, and that by which the peer
// knows the first.
func (o *Options) Masqueraded() []View {
	return []View{{
		Header: "IP masquerading entries\nprot   expire source               destination          ports\n",
		SQL: "SELECT proto, timeout_s, original_source_address, original_destination_address, original_source_port, original_destination_port, reply_destination_port" +
			" FROM masqueraded_connections",
		Row: func(b []byte, c [][]byte) []byte {
			seconds, _ := strconv.Atoi(string(number(c[1])))
			return fmt.Appendf(b, "%-4s%3d:%02d.%02d %-20s %-20s %s -> %s (%s)\n",
				c[0], seconds/60, seconds%60, 0, o.address(c[2]), o.address(c[3]), number(c[4]), number(c[5]), number(c[6]))
		},
	}}
}
