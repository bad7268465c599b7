// Status, PayloadEncoding and Metadata are part of this module's interface: whoever imports it sees them too. Nothing
// else of HostcallWire is public.
@_exported public import HostcallWire
