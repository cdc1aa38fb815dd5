tcp-ulp-mptcp flags:Mec token:0000(id:0)/682567(id:0) seq:67186391bf2888d6 sfseq:1 ssnoff:623047af maplen:3e8
tcp-ulp-mptcp flags:Mmec token:0000(id:0)/d901eb91(id:0) seq:118230f6a7befa12 sfseq:1 ssnoff:24f50cc9 maplen:0
