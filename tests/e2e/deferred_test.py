#!/usr/bin/env python3
"""Mail that is answered before it is on stable storage (deferred_spool), and mail whose policy
runs after the answer (deferred_queue).

Usage: deferred_test.py BUILD_DIR [unittest arguments]
"""

import tempfile

import ringtest

SPOOL = "deferred_spool=true"
QUICK = "retry_interval='1s', max_retry_interval='1s'"


class Deferred(ringtest.RingTest):

    def life(self, sink, hooks="", listener=SPOOL, **named):
        """One life of a daemon on the spool of the test."""
        if not hasattr(self, "directory"):
            self.directory = tempfile.TemporaryDirectory(prefix="ringpost-")
            self.addCleanup(self.directory.cleanup)
        named.setdefault("queue_options", QUICK)
        return self.daemon(hooks, listener, sink, directory=self.directory.name, **named)

    def recovered(self, daemon, shards=2):
        return sum(int(daemon.log.wait("shard %d: spool recovered ([0-9]+)" % i).group(1))
                   for i in range(shards))


class DeferredSpool(Deferred):

    def test_the_banner_names_the_listeners(self):
        daemon = self.daemon("", SPOOL, None)
        daemon.log.wait("spool fsync-group.*, deferred_spool on " + daemon.addresses[0])

    def test_an_overlay_counts_too(self):
        daemon = self.daemon("", "peer={['192.0.2.0/24']={deferred_spool=true}}", None)
        daemon.log.wait("deferred_spool on " + daemon.addresses[0])

    def test_without_it_the_banner_does_not_speak_of_it(self):
        self.assertNotIn("deferred_spool", self.daemon("", "", None).log.text())

    def test_what_is_delivered_at_once_is_never_in_the_spool(self):
        sink = self.sink()
        daemon = self.life(sink)
        self.client(daemon).mailed(recipients=["a@dst.test", "b@dst.test"])
        sink.wait_messages(2)
        kinds = sorted(r["type"] for r in daemon.stop())
        self.assertEqual(kinds, ["Delivery"] * 2 + ["Reception"] * 2)
        self.assertEqual(self.recovered(self.life(sink)), 0)

    def test_a_crash_loses_what_was_not_tried_yet(self):
        sink = self.sink()
        sink.on["CONNECT"] = lambda session, line: ringtest.SILENT
        daemon = self.life(sink)
        self.client(daemon).mailed()
        sink.wait_command("CONNECT")
        daemon.kill()
        self.assertEqual(self.recovered(self.life(sink)), 0)

    def test_a_stop_writes_what_is_in_memory(self):
        sink = self.sink()
        sink.on["CONNECT"] = lambda session, line: ringtest.SILENT
        daemon = self.life(sink)
        ids = []
        for i in range(40):  # several queues, several connections
            ids += self.client(daemon).mailed(
                body="Subject: %d\r\n\r\n%s" % (i, ("x" * 70 + "\r\n") * 20 * (i % 5)),
                recipients=["u%d@dst%d.test" % (i, i % 7), "v%d@dst%d.test" % (i, i % 3)])
        daemon.stop()
        del sink.on["CONNECT"]
        daemon = self.life(sink, shards=3)
        messages = sink.wait_messages(len(ids))
        self.assertEqual(len({m.recipients[0] for m in messages}), len(ids))
        records = daemon.stop()
        self.assertEqual(sorted(r["id"] for r in records if r["type"] == "Delivery"), sorted(ids))

    def test_a_transaction_under_way_at_the_stop_is_written_when_it_fails(self):
        sink = self.sink()
        sink.on["DOT"] = lambda session, line: ringtest.Later(0.3, "451 4.3.0 not now")
        daemon = self.life(sink)
        self.client(daemon).mailed()
        sink.wait_command("DOT")
        daemon.stop()
        del sink.on["DOT"]
        daemon = self.life(sink)
        sink.wait_messages(1)
        self.assertEqual(daemon.stop()[-1]["num_attempts"], 1)

    def test_a_message_that_was_put_off_survives_a_crash(self):
        sink = self.sink()
        sink.on["MAIL"] = lambda session, line: "451 4.3.0 not now"
        daemon = self.life(sink, shards=1, queue_options="retry_interval='3s'")
        self.client(daemon).mailed()
        daemon.wait_records("TransientFailure")
        daemon.kill()
        del sink.on["MAIL"]
        self.assertEqual(self.recovered(self.life(sink, shards=1), 1), 1)
        sink.wait_messages(1)

    def test_what_the_policy_saves_survives_a_crash(self):
        sink = self.sink()
        sink.on["CONNECT"] = lambda session, line: ringtest.SILENT
        daemon = self.life(sink, """
            kumo.on('smtp_server_message_received', function(msg)
              if msg:recipient().user == 'saved' then msg:save() end
            end)""")
        client = self.client(daemon)
        client.mailed(recipients=["saved@dst.test"])
        client.mailed(recipients=["lost@dst.test"])
        daemon.kill()
        del sink.on["CONNECT"]
        daemon = self.life(sink)
        self.assertEqual(self.recovered(daemon), 1)
        self.assertEqual(sink.wait_messages(1)[0].recipients, ["<saved@dst.test>"])

    def test_mail_scheduled_for_later_is_written_at_once(self):
        sink = self.sink()
        hooks = """
            kumo.on('smtp_server_message_received', function(msg)
              msg:set_scheduling{first_attempt='2099-01-01T00:00:00Z'}
            end)"""
        daemon = self.life(sink, hooks, shards=1)
        client = self.client(daemon)
        client.mailed()
        daemon.wait_records("Delayed")
        daemon.kill()
        self.assertEqual(self.recovered(self.life(sink, hooks, shards=1), 1), 1)

    def test_a_second_signal_says_what_it_costs(self):
        sink = self.sink()
        sink.on["DOT"] = lambda session, line: ringtest.SILENT
        daemon = self.life(sink)
        self.client(daemon).mailed()
        sink.wait_command("DOT")
        daemon.process.terminate()
        daemon.log.wait("draining")
        daemon.process.terminate()
        daemon.log.wait("second signal: ending at once; mail of deferred_spool listeners")
        daemon.wait(1)


class DeferredQueue(Deferred):

    QUEUE = "deferred_queue=true"
    INTERNAL = "deferred_smtp_inject.kumomta.internal"
    SITE = "unspecified->deferred_smtp_inject.kumomta.internal@defersmtpinject"

    def story(self, daemon):
        """What the records say, in order: type, queue."""
        return [(r["type"], r["queue"]) for r in daemon.stop()]

    def test_the_policy_runs_after_the_reply(self):
        sink = self.sink()
        daemon = self.life(sink, """
            kumo.on('smtp_server_message_received', function(msg) kumo.reject(550, 'never') end)
            kumo.on('smtp_server_data', function(msg) msg:set_meta('seen', 'data') end)
            kumo.on('smtp_server_message_deferred_inject', function(msg, conn)
              if msg:get_meta('seen') ~= 'data' or conn:get_meta('reception_protocol') ~= 'ESMTP'
                 or msg:get_meta('queue') ~= nil then
                error('it does not know where it comes from')
              end
              msg:set_meta('tenant', 'acme')
              msg:prepend_header('X-Late', 'yes')
            end)""", self.QUEUE)
        ids = self.client(daemon).mailed()
        message = sink.wait_messages(1)[0]
        self.assertTrue(message.body.startswith(b"X-Late: yes\r\nX-KumoRef: "))
        self.assertIn(b"Received: from ", message.body)
        daemon.wait_records("Delivery")
        self.assertEqual(self.story(daemon), [
            ("Reception", self.INTERNAL), ("DeferredInjectionRebind", "acme@dst.test"),
            ("Delivery", "acme@dst.test")])
        rebind = daemon.records("DeferredInjectionRebind")[0]
        self.assertEqual(rebind["id"], ids[0])
        self.assertEqual(rebind["response"], {"code": 250, "enhanced_code": None,
                                              "content": "ok", "command": None})
        self.assertEqual(rebind["delivery_protocol"], "DeferredSmtpInjection")
        self.assertEqual(rebind["site"], self.SITE)
        self.assertEqual(self.recovered(self.life(sink)), 0)

    def test_without_a_handler_mail_goes_its_way(self):
        sink = self.sink()
        daemon = self.life(sink, "", self.QUEUE)
        self.client(daemon).mailed(recipients=["a@one.test", "b@two.test"])
        sink.wait_messages(2)

    def test_a_rejection_bounces(self):
        daemon = self.life(self.sink(), """
            kumo.on('smtp_server_message_deferred_inject', function(msg)
              kumo.reject(550, '5.7.0 no')
            end)""", self.QUEUE)
        self.client(daemon).mailed()
        bounce = daemon.wait_records("Bounce")[0]
        self.assertEqual(bounce["response"]["code"], 550)
        self.assertEqual(bounce["response"]["content"], "no")
        self.assertEqual(bounce["response"]["enhanced_code"],
                         {"class": 5, "subject": 7, "detail": 0})
        self.assertEqual((bounce["queue"], bounce["site"]), (self.INTERNAL, self.SITE))
        daemon.stop()
        self.assertEqual(self.recovered(self.life(self.sink())), 0)

    def test_a_rejection_for_now_keeps_the_message(self):
        daemon = self.life(self.sink(), """
            kumo.on('smtp_server_message_deferred_inject', function(msg)
              kumo.reject(451, '4.7.1 later')
            end)""", self.QUEUE)
        self.client(daemon).mailed()
        failure = daemon.wait_records("TransientFailure")[0]
        self.assertEqual((failure["response"]["code"], failure["response"]["content"]),
                         (451, "later"))
        self.assertEqual(failure["num_attempts"], 0)
        daemon.kill()
        self.assertEqual(self.recovered(self.life(self.sink())), 1)

    def test_an_error_of_the_handler_keeps_the_message(self):
        daemon = self.life(self.sink(), """
            kumo.on('smtp_server_message_deferred_inject', function(msg) error('boom') end)""",
            self.QUEUE)
        self.client(daemon).mailed()
        failure = daemon.wait_records("TransientFailure")[0]
        self.assertEqual(failure["response"]["code"], 450)
        self.assertIn("boom", failure["response"]["content"])
        daemon.stop()
        self.assertEqual(self.recovered(self.life(self.sink())), 1)

    def test_a_queue_that_is_refused_is_asked_for_again_later(self):
        daemon = self.daemon("""
            kumo.on('get_queue_config', function(domain) error('no ' .. domain) end)""",
            self.QUEUE, queue="")
        self.client(daemon).mailed()
        failure = daemon.wait_records("TransientFailure")[0]
        self.assertEqual(failure["response"]["code"], 450)
        self.assertIn("no dst.test", failure["response"]["content"])
        self.assertEqual(failure["queue"], self.INTERNAL)

    def test_a_crash_before_the_policy_loses_nothing(self):
        sink = self.sink()
        asleep = """
            kumo.on('smtp_server_message_deferred_inject', function(msg) kumo.sleep(1000) end)"""
        awake = """
            kumo.on('smtp_server_message_deferred_inject', function(msg)
              msg:set_data(msg:get_data() .. 'once more\\r\\n')
            end)"""
        daemon = self.life(sink, asleep, self.QUEUE)
        client = self.client(daemon)
        ids = []
        for i in range(60):
            ids += client.mailed(recipients=["u%d@dst%d.test" % (i, i % 5)])
        daemon.kill()
        daemon = self.life(sink, asleep, self.QUEUE, shards=3)
        self.assertEqual(self.recovered(daemon, 3), 60)
        daemon.kill()
        daemon = self.life(sink, awake, self.QUEUE)
        messages = sink.wait_messages(60)
        self.assertTrue(all(m.body.endswith(b"hello\r\nonce more\r\n") for m in messages))
        daemon.wait_records("Delivery", 60)
        daemon.stop()
        self.assertEqual(sorted(r["id"] for r in daemon.records("Delivery")), sorted(ids))
        self.assertEqual(len(daemon.records("DeferredInjectionRebind")), 60)
        self.assertEqual(self.recovered(self.life(sink, awake, self.QUEUE)), 0)

    def test_a_stop_does_not_wait_for_the_policy_for_ever(self):
        sink = self.sink()
        daemon = self.life(sink, """
            kumo.on('smtp_server_message_deferred_inject', function(msg) kumo.sleep(1000) end)""",
            self.QUEUE, daemon_args=("--drain-timeout", "1s"))
        client = self.client(daemon)
        for i in range(50):
            client.mailed(recipients=["u%d@dst%d.test" % (i, i % 5)])
        daemon.stop()
        daemon = self.life(sink)
        self.assertEqual(self.recovered(daemon), 50)
        sink.wait_messages(50)

    def test_both_together_survive_a_stop(self):
        sink = self.sink()
        daemon = self.life(sink, """
            kumo.on('smtp_server_message_deferred_inject', function(msg) kumo.sleep(1000) end)""",
            self.QUEUE + ", " + SPOOL, daemon_args=("--drain-timeout", "1s"))
        client = self.client(daemon)
        for i in range(50):
            client.mailed(recipients=["u%d@dst%d.test" % (i, i % 5)])
        daemon.stop()
        self.assertEqual(self.recovered(self.life(sink)), 50)
        sink.wait_messages(50)

    def test_both_together_deliver_without_the_disk(self):
        sink = self.sink()
        daemon = self.life(sink, """
            kumo.on('smtp_server_message_deferred_inject', function(msg)
              msg:set_meta('queue', 'late.test')
            end)""", self.QUEUE + ", " + SPOOL)
        self.client(daemon).mailed()
        sink.wait_messages(1)
        daemon.wait_records("Delivery")
        self.assertEqual(self.story(daemon), [
            ("Reception", self.INTERNAL), ("DeferredInjectionRebind", "late.test"),
            ("Delivery", "late.test")])

    def test_the_null_queue_swallows_it(self):
        daemon = self.life(self.sink(), """
            kumo.on('smtp_server_message_deferred_inject', function(msg)
              msg:set_meta('queue', 'null')
            end)""", self.QUEUE)
        self.client(daemon).mailed()
        daemon.wait_records("DeferredInjectionRebind")
        self.assertEqual(self.story(daemon), [
            ("Reception", self.INTERNAL), ("DeferredInjectionRebind", "null")])
        self.assertEqual(self.recovered(self.life(self.sink())), 0)


if __name__ == "__main__":
    ringtest.main()
