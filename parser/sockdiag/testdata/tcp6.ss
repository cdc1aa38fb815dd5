LISTEN 0 16 [::1]:37253 [::]:* ino:313415 sk:1f07
LISTEN 0 128 [::1]:53527 [::]:* uid:65534 ino:312031 sk:1f08
LISTEN 0 16 [::ffff:127.0.0.1]:37515 *:* ino:311975 sk:1f09
LISTEN 0 128 *:443 *:* ino:312010 sk:1f0a
LISTEN 0 128 [::]:22 [::]:* ino:312009 sk:1f0b
LISTEN 0 128 [::ffff:0.0.0.0]:80 *:* ino:312011 sk:1f0c
LISTEN 0 16 [::ffff:127.0.0.1]:55463 *:* uid:1 ino:311973 sk:1f0d
LISTEN 3 16 [::ffff:127.0.0.1]:39843 *:* ino:311963 sk:1f0e
LISTEN 0 128 [fe80::1]%lo:65535 [::]:* ino:312021 sk:1f0f
LISTEN 0 16 *:38369 *:* ino:312036 sk:1f10
LISTEN 0 16 [::1]:36761 [::]:* uid:1 ino:313417 sk:1f11
LISTEN 0 128 [::ffff:192.168.100.200]:65535 *:* ino:312022 sk:1f12
LISTEN 0 128 [64:ff9b::c000:201]:65535 [::]:* ino:312023 sk:1f13
LISTEN 0 128 [2001:db8:0:1:1:1:1:1]:65535 [::]:* ino:312018 sk:1f14
LISTEN 0 128 [::1]:46713 [::]:* uid:1000 ino:312029 sk:1f15
LISTEN 0 128 [::1]:47517 [::]:* uid:4294967294 ino:312033 sk:1f16
LISTEN 0 16 [::ffff:127.0.0.1]:47985 *:* ino:311971 sk:1f17
LISTEN 0 128 [2001:db8:1111:2222:3333:4444:5555:6666]:65535 [::]:* ino:312017 sk:1f18
LISTEN 0 128 [fd00::1]:65535 [::]:* ino:312020 sk:1f19
LISTEN 2 1 [::1]:41277 [::]:* ino:313411 sk:1f1a
LISTEN 3 16 [::1]:58263 [::]:* ino:313407 sk:1f1b
LISTEN 2 1 [::ffff:127.0.0.1]:58783 *:* ino:311967 sk:1f1c
LISTEN 0 128 [2001:db8::1:0:0:1]:65535 [::]:* ino:312019 sk:1f1d
LISTEN 0 16 [::1]:43311 [::]:* ino:313419 sk:1f1e
LISTEN 0 128 [::1]:43281 [::]:* uid:1 ino:312027 sk:1f1f
SYN-SENT 0 1 [::ffff:127.0.0.1]:55416 [::ffff:127.0.0.1]:47985 timer:(on,472ms,1) ino:311972 sk:1f20
LAST-ACK 1 1 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34810 timer:(on,076ms,1) ino:0 sk:1f21
LAST-ACK 1 1 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34808 timer:(on,076ms,1) ino:312001 sk:1f22
ESTAB 124928 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34718 ino:311983 sk:1f23
ESTAB 0 0 [::1]:58263 [::1]:55472 ino:0 sk:1f24
ESTAB 0 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34760 ino:311991 sk:1f25
ESTAB 0 0 [::1]:55472 [::1]:58263 ino:313408 sk:1f26
ESTAB 0 0 [::1]:55476 [::1]:58263 ino:313409 sk:1f27
ESTAB 0 0 [::1]:55488 [::1]:58263 ino:313410 sk:1f28
ESTAB 0 0 [::1]:43311 [::1]:37462 ino:313421 sk:1f29
ESTAB 124928 0 [::1]:43311 [::1]:37518 ino:311940 sk:1f2a
CLOSE-WAIT 201 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34786 ino:311997 sk:1f2b
CLOSE-WAIT 1 0 [::1]:43311 [::1]:37580 ino:311954 sk:1f2c
ESTAB 0 0 [::1]:43311 [::1]:37486 ino:313425 sk:1f2d
ESTAB 0 0 [::ffff:127.0.0.1]:58783 [::ffff:127.0.0.1]:58602 ino:0 sk:1f2e
ESTAB 124928 0 [::1]:43311 [::1]:37502 ino:313427 sk:1f2f
ESTAB 1000 0 [::1]:43311 [::1]:37476 uid:65534 ino:313423 sk:1f30
ESTAB 0 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34750 ino:311989 sk:1f31
ESTAB 0 0 [::1]:43311 [::1]:37544 ino:311944 sk:1f32
ESTAB 124928 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34728 ino:311985 sk:1f33
ESTAB 0 0 [::1]:58263 [::1]:55476 ino:0 sk:1f34
SYN-RECV 0 0 [::ffff:127.0.0.1]:55463 [::ffff:127.0.0.1]:54390 timer:(on,1.472ms,0) ino:0 sk:1f35
ESTAB 0 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34742 ino:311987 sk:1f36
ESTAB 0 0 [::ffff:127.0.0.1]:58783 [::ffff:127.0.0.1]:58588 ino:0 sk:1f37
ESTAB 0 0 [::ffff:127.0.0.1]:34692 [::ffff:127.0.0.1]:37515 ino:311976 sk:1f38
ESTAB 0 0 [::ffff:127.0.0.1]:34698 [::ffff:127.0.0.1]:37515 uid:1000 ino:311978 sk:1f39
ESTAB 0 700 [::ffff:127.0.0.1]:34710 [::ffff:127.0.0.1]:37515 timer:(on,080ms,2) ino:311980 sk:1f3a
ESTAB 0 162816 [::ffff:127.0.0.1]:34718 [::ffff:127.0.0.1]:37515 timer:(persist,176ms,1) ino:311982 sk:1f3b
ESTAB 0 162816 [::ffff:127.0.0.1]:34728 [::ffff:127.0.0.1]:37515 timer:(persist,432ms,2) ino:311984 sk:1f3c
ESTAB 0 0 [::ffff:127.0.0.1]:34742 [::ffff:127.0.0.1]:37515 timer:(keepalive,119min,0) ino:311986 sk:1f3d
ESTAB 0 0 [::ffff:127.0.0.1]:34750 [::ffff:127.0.0.1]:37515 timer:(keepalive,9min59sec,1) ino:311988 sk:1f3e
FIN-WAIT-1 0 1 [::ffff:127.0.0.1]:34760 [::ffff:127.0.0.1]:37515 timer:(on,592ms,2) ino:311990 sk:1f3f
FIN-WAIT-1 0 162817 [::ffff:127.0.0.1]:34764 [::ffff:127.0.0.1]:37515 timer:(persist,688ms,1) ino:311992 sk:1f40
FIN-WAIT-1 0 501 [::ffff:127.0.0.1]:34772 [::ffff:127.0.0.1]:37515 timer:(on,656ms,2) uid:1000 ino:0 sk:1f41
FIN-WAIT-2 0 0 [::ffff:127.0.0.1]:34786 [::ffff:127.0.0.1]:37515 ino:311996 sk:1f42
FIN-WAIT-2 0 0 [::ffff:127.0.0.1]:34792 [::ffff:127.0.0.1]:37515 timer:(timewait,59sec,0) ino:0 sk:1f43
FIN-WAIT-1 0 1 [::ffff:127.0.0.1]:34808 [::ffff:127.0.0.1]:37515 timer:(on,076ms,1) ino:312000 sk:1f44
FIN-WAIT-1 0 1 [::ffff:127.0.0.1]:34810 [::ffff:127.0.0.1]:37515 timer:(on,076ms,1) ino:312002 sk:1f45
CLOSING 1 1 [::ffff:127.0.0.1]:34816 [::ffff:127.0.0.1]:37515 timer:(on,076ms,1) ino:312004 sk:1f46
TIME-WAIT 0 0 [::ffff:127.0.0.1]:34832 [::ffff:127.0.0.1]:37515 timer:(timewait,59sec,0) ino:0 sk:1f47
ESTAB 124928 0 [::1]:43311 [::1]:37566 ino:311948 sk:1f48
CLOSE-WAIT 201 0 [::1]:43311 [::1]:37578 ino:311952 sk:1f49
ESTAB 1000 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34698 uid:65534 ino:311979 sk:1f4a
ESTAB 0 0 [::1]:41277 [::1]:46572 ino:0 sk:1f4b
ESTAB 0 0 [::ffff:127.0.0.1]:39843 [::ffff:127.0.0.1]:59222 ino:0 sk:1f4c
ESTAB 0 0 [::1]:43311 [::1]:37572 ino:311950 sk:1f4d
FIN-WAIT-1 0 1 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34816 timer:(on,076ms,1) ino:312005 sk:1f4e
SYN-RECV 0 0 [::1]:36761 [::1]:50808 timer:(on,640ms,0) ino:0 sk:1f4f
LAST-ACK 1 1 [::1]:43311 [::1]:37584 timer:(on,080ms,2) ino:311956 sk:1f50
ESTAB 300 0 [::1]:58263 [::1]:55488 ino:0 sk:1f51
CLOSE-WAIT 1 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34792 ino:311999 sk:1f52
ESTAB 0 0 [::1]:37462 [::1]:43311 ino:313420 sk:1f53
ESTAB 0 0 [::1]:37476 [::1]:43311 uid:1000 ino:313422 sk:1f54
ESTAB 0 700 [::1]:37486 [::1]:43311 timer:(on,944ms,3) ino:313424 sk:1f55
ESTAB 0 162816 [::1]:37502 [::1]:43311 timer:(persist,1.072ms,0) ino:313426 sk:1f56
ESTAB 0 162816 [::1]:37518 [::1]:43311 timer:(persist,1.328ms,3) ino:313428 sk:1f57
ESTAB 0 0 [::1]:37528 [::1]:43311 timer:(keepalive,119min,0) ino:311941 sk:1f58
ESTAB 0 0 [::1]:37544 [::1]:43311 timer:(keepalive,9min59sec,1) ino:311943 sk:1f59
FIN-WAIT-1 0 1 [::1]:37560 [::1]:43311 timer:(on,1.456ms,3) ino:311945 sk:1f5a
FIN-WAIT-1 0 162817 [::1]:37566 [::1]:43311 timer:(persist,1.584ms,0) ino:311947 sk:1f5b
FIN-WAIT-1 0 501 [::1]:37572 [::1]:43311 timer:(on,1.520ms,3) uid:1000 ino:0 sk:1f5c
FIN-WAIT-2 0 0 [::1]:37578 [::1]:43311 ino:311951 sk:1f5d
FIN-WAIT-2 0 0 [::1]:37580 [::1]:43311 timer:(timewait,58sec,0) ino:0 sk:1f5e
FIN-WAIT-1 0 1 [::1]:37584 [::1]:43311 timer:(on,080ms,2) ino:311955 sk:1f5f
FIN-WAIT-1 0 1 [::1]:37590 [::1]:43311 timer:(on,080ms,2) ino:311957 sk:1f60
CLOSING 1 1 [::1]:37602 [::1]:43311 timer:(on,080ms,2) ino:311959 sk:1f61
TIME-WAIT 0 0 [::1]:37616 [::1]:43311 timer:(timewait,58sec,0) ino:0 sk:1f62
ESTAB 0 0 [::1]:50808 [::1]:36761 ino:313418 sk:1f63
ESTAB 0 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34710 ino:311981 sk:1f64
ESTAB 0 0 [::ffff:127.0.0.1]:58588 [::ffff:127.0.0.1]:58783 ino:311968 sk:1f65
ESTAB 0 0 [::ffff:127.0.0.1]:58602 [::ffff:127.0.0.1]:58783 ino:311969 sk:1f66
SYN-SENT 0 1 [::ffff:127.0.0.1]:58616 [::ffff:127.0.0.1]:58783 timer:(on,472ms,1) ino:311970 sk:1f67
ESTAB 124928 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34764 ino:311993 sk:1f68
ESTAB 0 0 [::ffff:127.0.0.1]:59222 [::ffff:127.0.0.1]:39843 ino:311964 sk:1f69
ESTAB 0 0 [::ffff:127.0.0.1]:59232 [::ffff:127.0.0.1]:39843 ino:311965 sk:1f6a
ESTAB 0 0 [::ffff:127.0.0.1]:59244 [::ffff:127.0.0.1]:39843 ino:311966 sk:1f6b
SYN-SENT 0 1 [::1]:58342 [::1]:37253 timer:(on,664ms,2) ino:313416 sk:1f6c
FIN-WAIT-1 0 1 [::1]:43311 [::1]:37602 timer:(on,080ms,2) ino:311960 sk:1f6d
ESTAB 0 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34692 ino:311977 sk:1f6e
ESTAB 0 0 [::1]:43311 [::1]:37528 ino:311942 sk:1f6f
ESTAB 0 0 [::ffff:127.0.0.1]:37515 [::ffff:127.0.0.1]:34772 ino:311995 sk:1f70
ESTAB 0 0 [::ffff:127.0.0.1]:38369 [::ffff:127.0.0.1]:40470 ino:312038 sk:1f71
ESTAB 0 0 [::ffff:127.0.0.1]:39843 [::ffff:127.0.0.1]:59232 ino:0 sk:1f72
ESTAB 0 0 [::ffff:127.0.0.1]:54390 [::ffff:127.0.0.1]:55463 ino:311974 sk:1f73
ESTAB 0 0 [::1]:46562 [::1]:41277 ino:313412 sk:1f74
ESTAB 0 0 [::1]:46572 [::1]:41277 ino:313413 sk:1f75
SYN-SENT 0 1 [::1]:46582 [::1]:41277 timer:(on,664ms,2) ino:313414 sk:1f76
ESTAB 0 0 [::1]:43311 [::1]:37560 ino:311946 sk:1f77
LAST-ACK 1 1 [::1]:43311 [::1]:37590 timer:(on,080ms,2) ino:0 sk:1f78
ESTAB 300 0 [::ffff:127.0.0.1]:39843 [::ffff:127.0.0.1]:59244 ino:0 sk:1f79
ESTAB 0 0 [::1]:41277 [::1]:46562 ino:0 sk:1f7a
