"""The relays that are measured: the floor, Ringpost, and Postfix."""

import glob
import grp
import os
import pwd
import shutil
import subprocess
import time

from . import machine
from .peers import wait_port
from .process import Failed, Process


class Relay:
    """Accepts on one loopback port and passes everything on to another."""

    name = ""
    process = None
    recycles = False  # it writes the files of `spool` over and over
    spool = None

    def cpu_s(self):
        return machine.cpu_seconds(self.process.pid)

    def written_bytes(self):
        return machine.write_bytes(self.process.pid)

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None


class Floor(Relay):
    """A relay that stores nothing. Its sink has to be up when it starts."""

    name = "floor"

    def start(self, place, port, sink_port):
        self.process = Process([place.tool("relay_floor"), str(port), str(sink_port), "20"],
                               place.file("floor.log"))
        self.process.wait_for_line("ready", 10)


class Ringpost(Relay):
    """ringpostd with perf/policy/relay.lua, spool and logs in the place's directory."""

    recycles = True

    def __init__(self, shards=None, **settings):
        self.shards = shards
        self.settings = {"RINGPERF_" + key.upper(): str(value) for key, value in settings.items()}
        self.name = "ringpost" if shards is None else "ringpost, %d shard%s" % (
            shards, "" if shards == 1 else "s")

    def start(self, place, port, sink_port, fresh=True):
        spool, logs = place.path("spool"), place.path("logs")
        self.spool = spool
        for path in (spool, logs) if fresh else ():
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path)
        env = {"RINGPERF_LISTEN": "127.0.0.1:%d" % port,
               "RINGPERF_SINK": "127.0.0.1:%d" % sink_port,
               "RINGPERF_SPOOL": spool, "RINGPERF_LOGS": logs, **self.settings}
        argv = [place.tool("ringpostd"), "--policy", place.policy("relay.lua")]
        if os.geteuid() == 0:
            argv += ["--user", "root"]
        if self.shards is not None:
            argv += ["--shards", str(self.shards)]
        self.process = Process(argv, place.file("ringpostd.log"), env=env)
        self.process.wait_for_line("initialization complete", 60)
        wait_port(port)


MAIN_CF = """\
# A private instance, tuned: no limit below what the load asks for, no lookups, cached
# connections to the sink, nothing throttled.
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink_port}
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_tls_security_level =
smtpd_tls_security_level =
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
default_process_limit = 100
in_flow_delay = 0
qmgr_message_active_limit = 20000
qmgr_message_recipient_limit = 20000
initial_destination_concurrency = 20
default_destination_concurrency_limit = 20
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = [127.0.0.1]:{sink_port}
smtp_connection_reuse_count_limit = 0
smtp_connection_reuse_time_limit = 3600s
"""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - 60 smtpd
pickup    unix  n - n 60    1   pickup
cleanup   unix  n - n -     0   cleanup
qmgr      unix  n - n 300   1   qmgr
rewrite   unix  - - n -     -   trivial-rewrite
bounce    unix  - - n -     0   bounce
defer     unix  - - n -     0   bounce
trace     unix  - - n -     0   bounce
verify    unix  - - n -     1   verify
flush     unix  n - n 1000? 0   flush
proxymap  unix  - - n -     -   proxymap
proxywrite unix - - n -     1   proxymap
smtp      unix  - - n -     -   smtp
relay     unix  - - n -     -   smtp
showq     unix  n - n -     -   showq
error     unix  - - n -     -   error
retry     unix  - - n -     -   error
discard   unix  - - n -     -   discard
anvil     unix  - - n -     1   anvil
scache    unix  - - n -     1   scache
postlog   unix-dgram n - n - 1  postlogd
"""


def postfix_install():
    """Postfix and its test programs; no system instance is started."""
    if shutil.which("postfix") and shutil.which("smtp-source"):
        return
    if os.geteuid() != 0:
        raise Failed("Postfix is not installed; run as root once, or install it")
    policy_rc = "/usr/sbin/policy-rc.d"
    ours = not os.path.exists(policy_rc)
    if ours:
        with open(policy_rc, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy_rc, 0o755)
    try:
        subprocess.run(["apt-get", "install", "-y", "-q", "postfix"], check=True,
                       stdin=subprocess.DEVNULL,
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    finally:
        if ours:
            os.unlink(policy_rc)


class Postfix(Relay):
    """A private Postfix: its own configuration, queue and data directories, loopback only."""

    name = "postfix"

    def __init__(self):
        self.config_dir = None
        self.master_pid = None
        self.settings_text = ""

    def _command(self, *args, check=True):
        return subprocess.run(["postfix", "-c", self.config_dir, *args], check=check,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)

    def _write_config(self, place, port, sink_port):
        top = place.path("postfix")
        shutil.rmtree(top, ignore_errors=True)
        self.config_dir = os.path.join(top, "config")
        for name in ("config", "queue", "data"):
            os.makedirs(os.path.join(top, name))
        owner = pwd.getpwnam("postfix")
        os.chown(os.path.join(top, "data"), owner.pw_uid, grp.getgrnam("postfix").gr_gid)
        for path in (place.directory, top):
            os.chmod(path, 0o755)  # its processes run as user postfix
        with open(os.path.join(self.config_dir, "main.cf"), "w", encoding="ascii") as main_cf:
            main_cf.write(MAIN_CF.format(dir=top, sink_port=sink_port))
        with open(os.path.join(self.config_dir, "master.cf"), "w", encoding="ascii") as master_cf:
            master_cf.write(MASTER_CF.format(port=port))
        for path in glob.glob("/etc/postfix/dynamicmaps.cf*"):
            link = os.path.join(self.config_dir, os.path.basename(path))
            if not os.path.lexists(link):
                os.symlink(path, link)

    def start(self, place, port, sink_port):
        if os.geteuid() != 0:
            raise Failed("Postfix can only be started by root")
        postfix_install()
        self._write_config(place, port, sink_port)
        started = self._command("start", check=False)
        if started.returncode != 0:
            raise Failed("postfix start: " + started.stdout)
        with open(place.path("postfix/queue/pid/master.pid"), encoding="ascii") as file:
            self.master_pid = int(file.read())
        self.settings_text = subprocess.run(["postconf", "-c", self.config_dir, "-n"], check=True,
                                            stdout=subprocess.PIPE, text=True).stdout
        wait_port(port)

    def cpu_s(self):
        return machine.session_cpu_seconds(self.master_pid)

    def written_bytes(self):
        return 0  # its processes come and go; the device's own counter stands in

    def stop(self):
        if self.master_pid is None:
            return
        self._command("stop", check=False)
        deadline = time.monotonic() + 30
        while os.path.exists("/proc/%d" % self.master_pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.master_pid = None
