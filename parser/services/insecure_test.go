package services

import (
	"strings"
	"testing"
)

// What the documents of auditors name is insecure, under any name and for its
// protocol only; what replaces it is not.
func TestWhyInsecure(t *testing.T) {
	const file = `
ftp-data 20/tcp # insecure
ftp 21/tcp # insecure
fsp 21/udp
ssh 22/tcp
telnet 23/tcp # insecure
smtp 25/tcp
domain 53/udp
tftp 69/udp # insecure
tftp 69/tcp
finger 79/tcp # insecure
http 80/tcp
kerberos 88/tcp
pop-3 110/tcp # insecure
sunrpc 111/udp # insecure
ntp 123/udp
imap 143/tcp # insecure
snmp 161/udp # insecure
snmptrap 162/udp # insecure
ldap 389/tcp # insecure
https 443/tcp
microsoft-ds 445/tcp
exec 512/tcp # insecure
login 513/tcp # insecure
shell 514/tcp # insecure
syslog 514/udp
submission 587/tcp
ldaps 636/tcp
rsync 873/tcp # insecure
ftps 990/tcp
telnets 992/tcp
imaps 993/tcp
pop3s 995/tcp
nfs 2049/tcp # insecure
rfb 5900/tcp # insecure
x11 6000/tcp # insecure
`
	entries := 0
	for e, err := range Decode(strings.NewReader(file), nil) {
		if err != nil {
			t.Fatal(err)
		}
		entries++
		t.Run(e.Name+" "+e.Protocol, func(t *testing.T) {
			why := WhyInsecure(e.Port, e.Protocol)
			if want := e.Comment == "insecure"; (why != "") != want || want && !strings.HasSuffix(why, ".") {
				t.Errorf("got %q, want that it is insecure: %v", why, want)
			}
		})
	}
	if entries != 35 {
		t.Errorf("%d services", entries)
	}
}
