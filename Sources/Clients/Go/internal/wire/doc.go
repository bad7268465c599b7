// Package wire is the protocol as values and bytes (protocol sections 2 to 6): headers, the rules that one frame can
// break by itself, metadata, and a reader of whole, checked frames. It knows nothing of connections or calls.
package wire
