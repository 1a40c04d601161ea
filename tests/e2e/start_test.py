"""What an operator sees when the daemon starts, or does not."""

import os
import subprocess
import tempfile

import ringtest
from ringtest import Client, Daemon

SPOOL = """
  kumo.define_spool{name='data', path='@DIR@/data'}
  kumo.define_spool{name='meta', path='@DIR@/meta'}
"""
INIT = """local kumo = require 'kumo'
kumo.on('init', function()
%s
end)
"""


class Start(ringtest.RingTest):

    def ended(self, text, *args, env=None):
        """Runs a daemon that does not serve; answers its status and what it said."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "init.lua")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text.replace("@DIR@", directory))
            done = subprocess.run(
                [os.path.join(ringtest.BUILD_DIR, "ringpostd"), "--policy", path, "--user", "root",
                 *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=ringtest.PATIENCE, check=False, env={**os.environ, **(env or {})})
            if "--validate" in args:
                self.assertEqual(os.listdir(directory), ["init.lua"])
        return done.returncode, done.stdout.replace(directory, "DIR")

    def started(self, init, **named):
        daemon = Daemon(INIT % (SPOOL + init), **named)
        self.addCleanup(daemon.end)
        return daemon

    def test_listeners_are_named_in_the_order_of_the_policy_with_their_real_ports(self):
        daemon = self.started("""
            for i = 1, 3 do
              kumo.start_esmtp_listener{listen='127.0.0.1:0', hostname='mx' .. i .. '.test'}
            end""")
        self.assertEqual(len(daemon.addresses), 3)
        for i, address in enumerate(daemon.addresses):
            with Client(int(address.rsplit(":", 1)[1])) as client:
                self.assertEqual(client.banner, "220 mx%d.test KumoMTA" % (i + 1))
        lines = [line.split(": ", 1)[1] for line in daemon.log.lines]
        told = [line for line in lines if not line.startswith("shard ")]
        self.assertRegex(told[0], "^NodeId is [0-9a-f-]{36}$")
        self.assertRegex(told[1], r"^Version is \S+$")
        self.assertRegex(told[2], r"^kernel \S+, 2 shards, spool fsync-group, .+, 1 path$")
        self.assertEqual(told[-1], "initialization complete")

    def test_an_address_that_somebody_listens_on_is_an_error(self):
        first = self.started("kumo.start_esmtp_listener{listen='127.0.0.1:0'}")
        listen = "kumo.start_esmtp_listener{listen='%s'}" % first.addresses[0]
        status, said = self.ended(INIT % (SPOOL + listen))
        self.assertEqual(status, 1)
        self.assertIn("failed to bind to %s: Address already in use" % first.addresses[0], said)

    def test_a_policy_that_catches_the_error_of_a_listener_goes_on(self):
        first = self.started("kumo.start_esmtp_listener{listen='127.0.0.1:0'}")
        second = self.started("""
            assert(not pcall(kumo.start_esmtp_listener, {listen='%s'}))
            kumo.start_esmtp_listener{listen='127.0.0.1:0'}""" % first.addresses[0])
        for daemon in (first, second):
            self.assertEqual(self.client(daemon).banner.code, 220)

    def test_the_same_address_twice_is_an_error(self):
        first = self.started("kumo.start_esmtp_listener{listen='127.0.0.1:0'}")
        listen = "kumo.start_esmtp_listener{listen='%s'}\n" % first.addresses[0]
        first.stop()
        status, said = self.ended(INIT % (SPOOL + listen + listen))
        self.assertEqual(status, 1)
        self.assertIn("Address already in use", said)

    def test_options_without_effect_are_said_once(self):
        daemon = self.started("""
            kumo.start_esmtp_listener{listen='127.0.0.1:0', allow_xclient=true, tls_private_key='k'}
            kumo.start_esmtp_listener{listen='127.0.0.1:0', allow_xclient=true}
            kumo.set_smtpsrv_threads(3)
            kumo.set_smtpsrv_threads(4)""")
        said = [line.split(" config: ")[1].split(":")[0] for line in daemon.log.lines
                if " config: " in line]
        self.assertEqual(said, ["start_esmtp_listener.tls_private_key",
                                "start_esmtp_listener.allow_xclient", "set_smtpsrv_threads"])

    def test_limits_of_mx_lookups_are_taken_and_checked(self):
        text = INIT % SPOOL + """kumo.on('pre_init', function()
            kumo.dns.set_mx_timeout('3 seconds')
            kumo.dns.set_mx_negative_cache_ttl(60)
            kumo.dns.set_mx_concurrency_limit(%s)
            kumo.dns.set_mta_sts_enabled(false)
        end)"""
        self.assertEqual(self.ended(text % 8, "--validate"), (0, ""))
        for wrong, why in (("0", "invalid value: integer `0`, expected a limit of 1 or more"),
                           ("'x'", "invalid type: string \"x\", expected u32")):
            status, said = self.ended(text % wrong, "--validate")
            self.assertEqual((status, said.splitlines()[0]),
                             (1, "Error: Initialization raised an error: " + why))

    def test_the_environment_and_the_policy_filter_diagnostics(self):
        log = "kumo.log_debug('very', 1, nil) kumo.log_warn 'quite'"
        for env, init, want in (
                ({}, log, ["quite"]),
                ({"KUMOD_LOG": "kumod=info,lua=debug"}, log, ["very 1 nil", "quite"]),
                ({"KUMOD_LOG": "kumod=info,lua=off"}, log, []),
                ({"KUMOD_LOG": "kumod=info,lua=off"},
                 "kumo.set_diagnostic_log_filter 'kumod=info,lua=debug' " + log,
                 ["very 1 nil", "quite"])):
            with self.subTest(env=env, init=init):
                daemon = self.started(init, env=env)
                said = [line.split(" lua: ")[1] for line in daemon.log.lines if " lua: " in line]
                path = os.path.join(daemon.directory, "init.lua")
                self.assertEqual([s.split(": ", 1)[1] for s in said], want)
                for s in said:
                    self.assertRegex(s, "^%s:[0-9]+: " % path)
        status, said = self.ended(INIT % SPOOL, env={"KUMOD_LOG": "kumod=loud"})
        self.assertEqual((status, said), (1, "Error: invalid filter directive 'kumod=loud'\n"))

    def test_a_wrong_policy_is_named_with_file_line_and_key(self):
        rows = (
            ("x = = 3", 'Error: Error evaluating policy file "DIR/init.lua": '
             '[string "DIR/init.lua"]:1: unexpected symbol near \'=\'\n'),
            (INIT % "error 'boom'", 'Error: Initialization raised an error: '
             '[string "DIR/init.lua"]:3: boom\nstack traceback:\n'),
            (INIT % "kumo.define_spool{name='data', pat='x'}",
             "Error: Initialization raised an error: deserialize error: unknown field `pat`, "
             "expected one of `name`, "),
            (INIT % "kumo.start_esmtp_listener{relay_hosts={'10.0.0.1/8'}}",
             "Error: Initialization raised an error: deserialize error: relay_hosts: invalid "
             "value: string \"10.0.0.1/8\": 10.0.0.1/8 is not a valid CIDR: host part of address "
             "was not zero. Did you mean 10.0.0.0/8?, while processing {"),
            (INIT % "kumo.configure_local_logs{}", "Error: Initialization raised an error: "
             "deserialize error: missing field `log_dir`, while processing {}\n"),
            (INIT % "kumo.on('init', print)", "Error: Initialization raised an error: Attempting "
             "to register an event handler via `kumo.on('init', ...)` from within the event "
             "handler 'init'"),
        )
        for text, want in rows:
            for args in ((), ("--validate",)):
                with self.subTest(text, args=args):
                    status, said = self.ended(text, *args)
                    self.assertEqual((status, said[:len(want)]), (1, want))
        status, said = self.ended(INIT % "", "--shards", "1")
        self.assertEqual((status, said), (1, "Error: No spools have been defined\n"))

    def test_validate_opens_nothing_and_its_status_is_the_verdict(self):
        first = self.started("kumo.start_esmtp_listener{listen='127.0.0.1:0'}")
        good = INIT % (SPOOL + """
            kumo.configure_local_logs{log_dir='@DIR@/logs'}
            kumo.start_esmtp_listener{listen='%s'}""" % first.addresses[0])
        self.assertEqual(self.ended(good, "--validate"), (0, ""))
        bad = good + """
            kumo.on('validate_config', function()
              if _VALIDATING_CONFIG then kumo.validation_failed() end
            end)"""
        status, _ = self.ended(bad, "--validate")
        self.assertEqual(status, 1)


if __name__ == "__main__":
    ringtest.main()
