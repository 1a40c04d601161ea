fuzz_target(fuzz_smtp_client USES proto base)
fuzz_target(fuzz_dns_answer USES proto base)
