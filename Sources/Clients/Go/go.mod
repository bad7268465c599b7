module hostcall

go 1.19
