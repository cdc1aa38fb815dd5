v_str LISTEN   0      0      *:1024  *:*
v_str ESTAB    0      0      2:1024  3:3221225472
???   ESTAB    0      0      1:52    1:4294967294
v_str UNCONN   0      0      *:*     *:*
v_dgr UNCONN   0      0      *:7     *:*
v_str SYN-SENT 0      0      3:40000 2:22
v_str CLOSING  0      0      3:40001 2:22
???   syn-sent 0      0      0:0     0:0
