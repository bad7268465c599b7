// Limits and policy, and what a host function is to a Swift program, are part of this module's interface. What else is
// public in HostcallBridge is so only because the compiler puts nothing less than that in line in another module.
@_exported public import HostcallFunctions

@_exported public import struct HostcallBridge.Limits
@_exported public import struct HostcallBridge.Policy
@_exported public import struct HostcallBridge.PolicyError
@_exported public import struct HostcallBridge.PolicyRule
@_exported public import enum HostcallBridge.PolicyVerb
