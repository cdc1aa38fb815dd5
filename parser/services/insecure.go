package services

// insecureService is a registered port and protocol of a service that sends
// what should be secret in clear text, or trusts whoever asks.
type insecureService struct {
	port     uint16
	protocol string
}

// Why services are insecure, one sentence each.
//
// PCI DSS 4.0 asks to find services that are insecure, and to do without them or
// to mitigate them (1.2.6, 2.2.5), and leaves their list to industry guidance;
// 3.2.1 gave examples (1.1.6): FTP, Telnet, POP3, IMAP, SNMP version 1 and 2. The
// STIGs of Red Hat Enterprise Linux and Ubuntu forbid servers of telnet, rsh,
// FTP, TFTP and NIS. The CIS benchmarks for Debian, Ubuntu and Red Hat name
// those, and chargen, daytime, discard, echo and time of inetd, talk, X, LDAP,
// NFS, rpcbind, rsync, Samba and SNMP.
//
// HTTP and SMTP are not in the list: by these ports servers talk to anyone, none
// of those documents names them, and a server may do no more at them than lead to
// a secure one.
const (
	echoes      = "It answers whoever asks, also for an address that is forged, which attackers use to make traffic."
	inetdTalk   = "It tells whoever asks about this host, without a log-in."
	clearLogin  = "Passwords and all that follows cross the network in clear text."
	clearMail   = "Passwords and mail cross the network in clear text unless the client asks for TLS."
	trustsHost  = "It trusts the address and the user name that the client gives, and sends everything in clear text."
	clearFiles  = "Files cross the network in clear text, and nobody has to log in."
	clearSNMP   = "Versions 1 and 2c send the community, their password, in clear text; only version 3 can be secure."
	portmapper  = "It tells whoever asks which RPC services run here, and its answers make attacks larger."
	netBIOS     = "It answers without a log-in, and carries the obsolete first version of SMB."
	clearLDAP   = "Passwords and entries cross the network in clear text unless the client asks for TLS."
	trustsNFS   = "It trusts the user number that the client gives and sends files in clear text, unless Kerberos is demanded."
	clearRsync  = "Files cross the network in clear text."
	clearX      = "Keys, pictures and the cookie that permits them cross the network in clear text."
	weakRFB     = "Its password protects little (RFC 6143, 7.2.2), and pictures and keys cross the network in clear text."
	clearLegacy = "It sends everything in clear text, and is obsolete."
)

// insecureServices are they, by the ports that IANA registered. The source of
// each is said behind it.
var insecureServices = map[insecureService]string{
	{7, "tcp"}:   echoes,     // echo: CIS
	{7, "udp"}:   echoes,     //
	{9, "tcp"}:   echoes,     // discard: CIS
	{9, "udp"}:   echoes,     //
	{11, "tcp"}:  inetdTalk,  // systat, the list of users: like finger
	{13, "tcp"}:  echoes,     // daytime: CIS
	{13, "udp"}:  echoes,     //
	{15, "tcp"}:  inetdTalk,  // netstat: like finger
	{17, "tcp"}:  echoes,     // qotd: like chargen
	{17, "udp"}:  echoes,     //
	{19, "tcp"}:  echoes,     // chargen: CIS
	{19, "udp"}:  echoes,     //
	{20, "tcp"}:  clearLogin, // ftp-data: PCI DSS, STIG, CIS
	{21, "tcp"}:  clearLogin, // ftp: PCI DSS, STIG, CIS
	{23, "tcp"}:  clearLogin, // telnet: PCI DSS, STIG, CIS
	{37, "tcp"}:  echoes,     // time: CIS
	{37, "udp"}:  echoes,     //
	{69, "udp"}:  clearFiles, // tftp: STIG, CIS
	{79, "tcp"}:  inetdTalk,  // finger: STIG of UNIX, GEN003860
	{109, "tcp"}: clearMail,  // pop2: as pop3
	{110, "tcp"}: clearMail,  // pop3: PCI DSS
	{111, "tcp"}: portmapper, // sunrpc: CIS
	{111, "udp"}: portmapper, //
	{137, "tcp"}: netBIOS,    // netbios-ns: CIS, as Samba
	{137, "udp"}: netBIOS,    //
	{138, "tcp"}: netBIOS,    // netbios-dgm: CIS, as Samba
	{138, "udp"}: netBIOS,    //
	{139, "tcp"}: netBIOS,    // netbios-ssn: CIS, as Samba
	{139, "udp"}: netBIOS,    //
	{143, "tcp"}: clearMail,  // imap, imap2: PCI DSS
	{161, "tcp"}: clearSNMP,  // snmp: PCI DSS, CIS
	{161, "udp"}: clearSNMP,  //
	{162, "tcp"}: clearSNMP,  // snmp-trap: PCI DSS, CIS
	{162, "udp"}: clearSNMP,  //
	{177, "udp"}: clearX,     // xdmcp: CIS, as X
	{389, "tcp"}: clearLDAP,  // ldap: CIS
	{389, "udp"}: clearLDAP,  //
	{512, "tcp"}: clearLogin, // exec, rexec: STIG, CIS
	{513, "tcp"}: trustsHost, // login, rlogin: STIG, CIS
	{513, "udp"}: inetdTalk,  // who: like finger
	{514, "tcp"}: trustsHost, // shell, rsh: STIG, CIS
	{517, "udp"}: inetdTalk,  // talk: CIS
	{518, "udp"}: inetdTalk,  // ntalk: CIS

	{540, "tcp"}:  clearLegacy, // uucp: as the other log-ins in clear text
	{873, "tcp"}:  clearRsync,  // rsync: CIS
	{2049, "tcp"}: trustsNFS,   // nfs: CIS
	{2049, "udp"}: trustsNFS,   //
	{5900, "tcp"}: weakRFB,     // rfb, vnc-server: RFC 6143
	{6000, "tcp"}: clearX,      // x11: CIS
	{6001, "tcp"}: clearX,      //
	{6002, "tcp"}: clearX,      //
	{6003, "tcp"}: clearX,      //
	{6004, "tcp"}: clearX,      //
	{6005, "tcp"}: clearX,      //
	{6006, "tcp"}: clearX,      //
	{6007, "tcp"}: clearX,      //
}

// WhyInsecure returns why the service that IANA registered for a port is insecure,
// in a sentence; "" if it is not, or if nothing is registered.
func WhyInsecure(port uint16, protocol string) string {
	return insecureServices[insecureService{port, protocol}]
}
