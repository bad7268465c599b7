public import ArgumentParser
public import HostcallFunctions

/// `shared`, `exclusive` or `replace`, as the protocol has them.
extension RegistrationMode: ExpressibleByArgument {}
