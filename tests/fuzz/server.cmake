fuzz_target(fuzz_smtp_command USES proto base)
fuzz_target(fuzz_smtp_server USES proto base)
