// These are part of this module's interface: whoever imports it sees them too. What else is public in HostcallWire is so
// only because the compiler puts nothing less than that in line in another module.
@_exported public import struct HostcallWire.Metadata
@_exported public import struct HostcallWire.MetadataError
@_exported public import struct HostcallWire.PayloadEncoding
@_exported public import struct HostcallWire.Status
