# The resolver and the address plan. c-ares is seen by dns_cares.c alone.
list(APPEND NET_SOURCES
  addr_plan.c
  addr_planner.c
  dns_addr.c
  dns_cache.c
  dns_cares.c
  dns_config.c
  dns_flight.c
  dns_hosts.c
  dns_mail.c
  dns_mx.c
  dns_mx_build.c
  dns_name.c
  dns_resolver.c
  dns_set.c
  dns_set_read.c
  dns_status.c
  dns_zone.c
  dns_zone_parse.c
  mx_list.c)
