-- The policy of a simulated run; words between @ come from the seed.
local kumo = require 'kumo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/spool/data', min_free_space = '2%' }
  kumo.define_spool { name = 'meta', path = '/spool/meta', min_free_space = '2%' }
  kumo.configure_local_logs {
    log_dir = '/log',
    max_segment_duration = '10s',
    min_free_space = '1%',
    headers = { 'Subject' },
  }
  kumo.start_esmtp_listener {
    listen = '10.0.0.1:25',
    hostname = 'relay.sim',
    relay_hosts = { '10.0.0.0/8' },
  }
end)

kumo.on('smtp_server_message_received', function(msg)
  local tenant = tostring(msg:sender()):match('@(%w+)%.')
  msg:set_meta('tenant', tenant)
end)

kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config {
    retry_interval = '@RETRY@s',
    max_retry_interval = '@RETRY@s',
  }
end)

kumo.on('get_egress_path_config', function(domain, source, site)
  return kumo.make_egress_path {
    enable_tls = 'Disabled',
    connection_limit = @CONNECTIONS@,
    max_ready = @READY@,
  }
end)
