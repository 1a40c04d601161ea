-- The policy of the measured relay: a handler that reads a header and sets two metas, a queue
-- and a path handler, and local logs. Everything that varies comes from the environment:
--
--   RINGPERF_LISTEN       where to accept mail, "127.0.0.1:2525"
--   RINGPERF_SINK         where everything goes, "127.0.0.1:2526"
--   RINGPERF_SPOOL        a directory for the spool
--   RINGPERF_LOGS         a directory for the logs
--   RINGPERF_DURABILITY   "fsync-group" unless given
--   RINGPERF_CONNECTIONS  connections to the sink, 20 unless given
--   RINGPERF_MAX_READY    length of the ready queue, 100000 unless given
--   RINGPERF_RETRY        retry interval, "20m" unless given
--   RINGPERF_DUE          RFC 3339: mail that carries X-Hold is not tried before
local kumo = require 'kumo'

local function env(name, default)
  return os.getenv('RINGPERF_' .. name) or default
end

local sink = env('SINK')
local due = env('DUE')

kumo.on('init', function()
  for _, name in ipairs { 'data', 'meta' } do
    kumo.define_spool {
      name = name,
      path = env('SPOOL') .. '/' .. name,
      durability = env('DURABILITY', 'fsync-group'),
      min_free_space = '1%',
      min_free_inodes = '1%',
    }
  end
  kumo.configure_local_logs {
    log_dir = env('LOGS'),
    min_free_space = '1%',
    min_free_inodes = '1%',
    per_record = {
      Any = { enable = false },
      Reception = { enable = true },
      Delivery = { enable = true },
    },
  }
  kumo.start_esmtp_listener {
    listen = env('LISTEN'),
    relay_hosts = { '127.0.0.1' },
    max_messages_per_connection = 100000000,
  }
end)

kumo.on('smtp_server_message_received', function(msg)
  local tenant = msg:get_first_named_header_value('X-Tenant')
  msg:set_meta('tenant', tenant or 'bench')
  msg:set_meta('seen_by', 'perf')
  if due and msg:get_first_named_header_value('X-Hold') then
    msg:set_scheduling { first_attempt = due }
  end
end)

kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config {
    retry_interval = env('RETRY', '20m'),
    protocol = {
      smtp = { mx_list = { { name = 'sink.test', addr = sink } } },
    },
  }
end)

kumo.on('get_egress_path_config', function(routing_domain, source, site)
  return kumo.make_egress_path {
    enable_tls = 'Disabled',
    prohibited_hosts = {},
    connection_limit = tonumber(env('CONNECTIONS', '20')),
    max_ready = tonumber(env('MAX_READY', '100000')),
    max_deliveries_per_connection = 1000000,
  }
end)
