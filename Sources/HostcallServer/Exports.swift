// Limits, and what a host function is to a Swift program, are part of this module's interface.
@_exported public import HostcallBridge
@_exported public import HostcallFunctions
