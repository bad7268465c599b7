module hostcall-demo

go 1.19

require hostcall v0.0.0

replace hostcall => ../../Sources/Clients/Go
