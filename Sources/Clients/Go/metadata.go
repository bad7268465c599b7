package hostcall

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"hostcall/internal/wire"
)

// Metadata is small named texts that travel beside a payload (protocol section 2). A key is 1 to 64 bytes of a-z 0-9 -,
// a value UTF-8 without NUL, and all of it together at most 65,535 bytes, with 3 more for each entry. Keys that begin
// with hostcall- are written by the daemon alone.
type Metadata map[string]string

// The metadata keys of W3C Trace Context, which calls made inside a handler inherit.
const (
	traceParentKey = "traceparent"
	traceStateKey  = "tracestate"
)

// encode is the metadata as it goes over the wire, in the order of its keys.
func (m Metadata) encode() ([]byte, error) {
	if len(m) == 0 {
		return nil, nil
	}
	keys := make([]string, 0, len(m))
	size := 0
	for key, value := range m {
		if err := checkEntry(key, value); err != nil {
			return nil, err
		}
		size += wire.EntryBytes(key, value)
		keys = append(keys, key)
	}
	if size > wire.LongestMetadataBytes {
		return nil, fmt.Errorf("the metadata has %d bytes, and %d fit into a frame", size, wire.LongestMetadataBytes)
	}
	sort.Strings(keys)
	encoded := make([]byte, 0, size)
	for _, key := range keys {
		encoded = wire.AppendEntry(encoded, key, m[key])
	}
	return encoded, nil
}

func checkEntry(key, value string) error {
	switch {
	case !wire.IsKey(key):
		return fmt.Errorf("the metadata key %q is not 1 to %d of the characters a-z 0-9 -", key, wire.LongestKeyBytes)
	case strings.HasPrefix(key, wire.ReservedKeyPrefix):
		return fmt.Errorf("the metadata key %s is for the daemon alone to write", key)
	case strings.IndexByte(value, 0) >= 0 || !utf8.ValidString(value):
		return fmt.Errorf("the metadata value of %s is not UTF-8 without NUL", key)
	case len(value) > wire.LongestMetadataBytes:
		return fmt.Errorf("the metadata value of %s has %d bytes, %d are the most",
			key, len(value), wire.LongestMetadataBytes)
	}
	return nil
}

// inheritTrace appends the trace of the call that a handler answers, unless the metadata say one of their own. Where
// there is no room the call goes without.
func inheritTrace(encoded []byte, own Metadata, from *inherited) []byte {
	if from == nil || from.traceParent == "" {
		return encoded
	}
	if _, ok := own[traceParentKey]; ok {
		return encoded
	}
	encoded = appendIfFits(encoded, traceParentKey, from.traceParent)
	if _, ok := own[traceStateKey]; !ok && from.traceState != "" {
		encoded = appendIfFits(encoded, traceStateKey, from.traceState)
	}
	return encoded
}

func appendIfFits(encoded []byte, key, value string) []byte {
	if len(encoded)+wire.EntryBytes(key, value) > wire.LongestMetadataBytes {
		return encoded
	}
	return wire.AppendEntry(encoded, key, value)
}

// decodeMetadata reads metadata that has been checked; nil where there is none.
func decodeMetadata(encoded []byte) Metadata {
	if len(encoded) == 0 {
		return nil
	}
	decoded := Metadata{}
	for len(encoded) > 0 {
		key, value, rest, ok := wire.NextEntry(encoded)
		if !ok {
			break
		}
		decoded[string(key)] = string(value)
		encoded = rest
	}
	return decoded
}
