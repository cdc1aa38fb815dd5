// Package source reads a list of the kernel from the best of its sources.
//
// A [Way] is a source as a list sees it: why it may not be asked, and a probe of
// whether it answers. With a function that reads it is one [Of] a type:
//
//	source.WithFallback(query, "dev",
//		source.By(rtnetlink, func(use *usage.Usage) iter.Seq2[network.Link, error] { … }),
//		source.By(procfs, func(use *usage.Usage) iter.Seq2[network.Link, error] {
//			return source.Read(ctx, handle, source.File[network.Link]{Name: "dev", Missing: source.Failing, Decode: procnet.Links}, use)
//		}))
//
// [WithFallback] streams from the first one that is usable and not refused, and
// notes in package usage why it was not an earlier one. [Probe] makes the same
// decision without reading the list. [Read] decodes a file of /proc/net and
// [Decoded] messages of netlink.
package source
