ESTAB      835    0               127.0.0.1:45406          127.0.0.1:5001  uid:65534 ino:12336624 sk:4f8b4c cgroup:/ <-> tos:0 class_id:0
	 skmem:(r835,rb131072,t0,tb7883776,f0,w0,o0,bl0,d0) subflows:1 add_addr_signal:1 add_addr_accepted:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:9451a507 write_seq:58f69d94d9952014 snd_una:58f69d94d9952014 rcv_nxt:9ab6d74c2dbd23d6
CLOSE-WAIT 835    0               127.0.0.1:5001           127.0.0.1:45410 ino:12336632 sk:4f8b4d cgroup:/ --> tos:0 class_id:0
	 skmem:(r835,rb131072,t0,tb3943936,f0,w0,o0,bl0,d0) add_addr_signal:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:b25e2cb9 write_seq:53edd385797bab22 snd_una:53edd385797bab22 rcv_nxt:db204d7d6fb1cf48
ESTAB      0      0               127.0.0.1:38486          127.0.0.1:5003  ino:12336628 sk:4f8b4e cgroup:/ <-> tos:0 class_id:0
	 skmem:(r0,rb131072,t0,tb3943936,f0,w0,o0,bl0,d0) subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 fallback token:1339af67 write_seq:796e152261f78607 snd_una:796e152261f78607
ESTAB      0      0                10.9.9.1:5001            10.9.9.1:49038 ino:12336647 sk:4f8b4f cgroup:/ <-> tos:0 class_id:0
	 skmem:(r0,rb131072,t0,tb7883776,f2108,w0,o0,bl0,d0) subflows:1 add_addr_signal:1 add_addr_accepted:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:d56e796d write_seq:5b947cb6652c109 snd_una:5b947cb6652c109 rcv_nxt:995643f1cafc692c
ESTAB      837    0                10.9.9.1:49038           10.9.9.1:5001  ino:12336645 sk:4f8b50 cgroup:/ <-> tos:0 class_id:0
	 skmem:(r837,rb131072,t0,tb7883776,f0,w0,o0,bl0,d0) subflows:1 add_addr_signal:1 add_addr_accepted:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:3882f9f8 write_seq:995643f1cafc692c snd_una:995643f1cafc692c rcv_nxt:5b947cb6652c109
FIN-WAIT-2 0      0               127.0.0.1:45410          127.0.0.1:5001  ino:12336630 sk:4f8b51 cgroup:/ <-- tos:0 class_id:0
	 skmem:(r0,rb131072,t0,tb3943936,f0,w0,o0,bl0,d0) add_addr_signal:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:f8c1fb99 write_seq:db204d7d6fb1cf48 snd_una:db204d7d6fb1cf48 rcv_nxt:53edd385797bab22
ESTAB      0      0               127.0.0.1:58688          127.0.0.1:5002  ino:12336638 sk:4f8b52 cgroup:/ <-> tos:0 class_id:0
	 skmem:(r0,rb131072,t0,tb7883776,f0,w0,o0,bl0,d0) subflows:1 add_addr_signal:1 add_addr_accepted:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:9414fcbf write_seq:f3d7a5e686133095 snd_una:f3d7a5e686133095 rcv_nxt:585fca6d451b2d29
ESTAB      882    0               127.0.0.1:5001           127.0.0.1:45406 ino:12336626 sk:4f8b53 cgroup:/ <-> tos:0 class_id:0
	 skmem:(r882,rb131072,t0,tb3943936,f0,w0,o0,bl0,d0) subflows:1 add_addr_signal:1 add_addr_accepted:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:f54f7d84 write_seq:9ab6d74c2dbd23d6 snd_una:9ab6d74c2dbd23d6 rcv_nxt:58f69d94d9952014
LISTEN     0      3            127.0.0.1%lo:5005             0.0.0.0:*     ino:12336642 sk:4f8b54 fwmark:0x2a cgroup:/ <-> tos:0x10 class_id:0x6
	 skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d0)
LISTEN     0      5                 0.0.0.0:5001             0.0.0.0:*     uid:1000 ino:12336622 sk:4f8b55 cgroup:/ <-> tos:0 class_id:0
	 skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d0)
ESTAB      0      0      [::ffff:127.0.0.1]:5002  [::ffff:127.0.0.1]:58688 ino:0 sk:4f8b56 cgroup:/ <-> tos:0 tclass:0 class_id:0
	 skmem:(r0,rb131072,t0,tb3943936,f0,w0,o0,bl0,d0) subflows:1 add_addr_signal:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:df8fa03c write_seq:585fca6d451b2d29 snd_una:585fca6d451b2d29 rcv_nxt:f3d7a5e686133095
ESTAB      0      0                   [::1]:5002               [::1]:53846 ino:12336637 sk:4f8b57 cgroup:/ <-> tos:0 tclass:0 class_id:0
	 skmem:(r0,rb131072,t0,tb7883776,f0,w0,o0,bl0,d0) subflows:1 add_addr_signal:1 add_addr_accepted:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:68dcbe7e write_seq:3d93135773fa1ffb snd_una:3d93135773fa1ffb rcv_nxt:8d67bd538a476352
ESTAB      0      0                   [::1]:53846              [::1]:5002  ino:12336635 sk:4f8b58 cgroup:/ <-> tos:0 tclass:0 class_id:0
	 skmem:(r0,rb131072,t0,tb7883776,f0,w0,o0,bl0,d0) subflows:1 add_addr_signal:1 add_addr_accepted:1 subflows_max:2 add_addr_signal_max:1 add_addr_accepted_max:2 remote_key token:85d46b7e write_seq:8d67bd538a476352 snd_una:8d67bd538a476352 rcv_nxt:3d93135773fa1ffb
LISTEN     1      7                       *:5002                   *:*     ino:12336633 sk:4f8b59 cgroup:/ v6only:0 <-> tos:0 tclass:0 class_id:0
	 skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d0)
LISTEN     0      9                   [::1]:5004                [::]:*     ino:12336640 sk:4f8b5a cgroup:/ v6only:1 <-> tos:0 tclass:0 class_id:0
	 skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d0)
