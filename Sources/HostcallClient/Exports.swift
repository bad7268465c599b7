// Calls, requests, replies and errors are the same for a client and for a program that embeds the daemon; they, and
// Status, PayloadEncoding and Metadata with them, are part of this module's interface.
@_exported public import HostcallFunctions
