#!/usr/bin/env python3
"""What a policy can do about mail that waits: when it comes back, before it is sent, after a start.

Usage: queue_events_test.py BUILD_DIR [unittest arguments]
"""

import time

from outbound_support import PATH, QUEUE, RECEIVED, Outbound, main, wait_for

REFUSE = "451 4.3.0 not now"


def refuse_rcpt(conn, command):
    return REFUSE if command.startswith("RCPT") else None


def in_an_hour():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))


class Events(Outbound):

    def settle(self, daemon):
        """What the daemon has staged for the spool is on the disk: a later 250 is."""
        daemon.inject("settled@parked.test")

    def parking(self, sink, options=""):
        """Queues that lead to the sink; parked.test waits an hour."""
        return """
            kumo.on('smtp_server_message_received', function(msg)
              if msg:recipient().domain == 'parked.test' then
                msg:set_scheduling{first_attempt='%s'}
              end
            end)""" % in_an_hour() + QUEUE % (self.to_sink(sink) + ", " + options) + PATH % ""


class Requeue(Events):

    def test_a_message_that_fails_too_often_goes_another_way_at_once(self):
        refusing, taking = self.sink(refuse_rcpt), self.sink()
        daemon = self.daemon(
            """kumo.on('requeue_message', function(msg)
                 if msg:num_attempts() >= 2 then msg:set_meta('queue', 'other.test') end
               end)
               kumo.on('get_queue_config', function(domain)
                 if domain == 'other.test' then return kumo.make_queue_config{%s} end
                 return kumo.make_queue_config{retry_interval='1s', %s}
               end)""" % (self.to_sink(taking), self.to_sink(refusing)), PATH % "")
        daemon.inject()
        delivery, = daemon.wait_records("Delivery")
        failures = daemon.records("TransientFailure")
        self.assertEqual([r["num_attempts"] for r in failures], [0, 1, 2])
        self.assertEqual((delivery["queue"], delivery["num_attempts"]), ("other.test", 3))
        self.assertEqual(daemon.records("AdminRebind"), [])

    def test_the_handler_hears_what_happened(self):
        sink = self.sink(refuse_rcpt)
        daemon = self.relay(sink, prelude="""
            kumo.on('requeue_message', function(msg, response, context, increment, delay)
              note{response, context, increment, delay == nil,
                   msg:get_first_named_header_value('Subject')}
            end)""")
        daemon.inject()
        daemon.wait_records("TransientFailure")
        daemon.stop()
        self.assertEqual(daemon.notes(), [
            '["451 4.3.0 not now",["LoggedTransientFailure"],true,true,"test"]'])

    def test_a_delay_comes_as_a_duration(self):
        daemon = self.relay(self.sink(), "max_message_rate='1/hour'", prelude="""
            kumo.on('requeue_message', function(msg, response, context, increment, delay)
              note{increment, delay.seconds > 3500, tostring(delay + delay) == delay.human,
                   delay - delay == kumo.time.parse_duration('0')}
            end)""")
        daemon.inject()
        daemon.inject()
        daemon.wait_records("Delayed")
        self.assertEqual(daemon.notes(), ["[false,true,false,true]"])

    def test_a_reject_ends_the_message(self):
        sink = self.sink(refuse_rcpt)
        daemon = self.relay(sink, prelude="""
            kumo.on('requeue_message', function(msg) kumo.reject(451, 'given up') end)""")
        daemon.inject()
        bounce, = daemon.wait_records("Bounce")
        self.assertEqual((bounce["response"]["code"], bounce["response"]["content"]),
                         (451, "given up"))
        self.assertEqual(bounce["site"], "")
        daemon.stop()
        daemon.start()
        daemon.wait_said("spool recovered 0 messages", count=2)

    def test_an_error_is_told_and_the_message_retried(self):
        calls = []

        def refuse_once(conn, command):
            if command.startswith("RCPT"):
                calls.append(command)
                return REFUSE if len(calls) == 1 else None
            return None
        daemon = self.relay(self.sink(refuse_once), "retry_interval='1s'", prelude="""
            kumo.on('requeue_message', function(msg) error('what a pity') end)""")
        daemon.inject()
        daemon.wait_records("Delivery")
        daemon.wait_said("requeue_message: ")
        self.assertIn("what a pity", daemon.said())

    def test_what_the_handler_changed_outlives_a_crash(self):
        sink = self.sink(refuse_rcpt)
        daemon = self.daemon(
            """kumo.on('requeue_message', function(msg)
                 msg:set_meta('tenant', 'second') msg:set_meta('x_seen', {1, 'two'})
                 msg:prepend_header('X-Tried', 'yes')
                 msg:set_scheduling{first_attempt='%s'}
               end)""" % in_an_hour(), self.parking(sink))
        daemon.inject()
        daemon.wait_records("TransientFailure")
        self.settle(daemon)
        daemon.kill()
        daemon.policy = daemon.policy.replace("'requeue_message'", "'nobody_calls_this'") + """
            kumo.on('spool_message_enumerated', function(msg)
              if msg:recipient().user == 'user' then
                note{msg:queue_name(), msg:get_meta('x_seen'), msg:num_attempts(),
                     msg:get_first_named_header_value('X-Tried')}
                msg:set_scheduling(nil)
                msg:set_due(nil)
              end
            end)"""
        refused = len(sink.commands())
        daemon.start()
        sink.wait(lambda events: len([c for n, c in events if c.startswith("RCPT")]) >= 2)
        self.assertEqual(daemon.notes(), ['["second@example.com",[1,"two"],1,"yes"]'])
        self.assertGreater(len(sink.commands()), refused)


class Throttle(Events):

    def test_a_due_time_in_the_future_holds_the_message_back(self):
        sink = self.sink()
        daemon = self.relay(sink, prelude="""
            kumo.on('throttle_insert_ready_queue', function(msg)
              if msg:recipient().user == 'held' then msg:set_due('%s') end
            end)""" % in_an_hour())
        daemon.inject("held@example.com")
        daemon.inject("free@example.com")
        self.assertEqual(daemon.wait_records("Delivery")[0]["recipient"], "free@example.com")
        delayed = daemon.wait_records("Delayed")[0]
        self.assertEqual((delayed["recipient"], delayed["num_attempts"]), ("held@example.com", 0))
        self.assertTrue(delayed["response"]["content"].startswith(
            "Context: Received, ThrottledByThrottleInsertReadyQueue. Next due in "), delayed)
        self.assertEqual(len(sink.conns), 1)

    def test_a_schedule_made_there_outlives_a_crash(self):
        sink = self.sink()
        daemon = self.daemon(
            """kumo.on('throttle_insert_ready_queue', function(msg)
                 if msg:recipient().user == 'held' then
                   msg:set_scheduling{first_attempt='%s'}
                 end
               end)""" % in_an_hour(), self.parking(sink))
        daemon.inject("held@example.com")
        daemon.wait_records("Delayed")
        self.settle(daemon)
        daemon.kill()
        daemon.policy = daemon.policy.replace("'throttle_insert_ready_queue'", "'nobody'")
        daemon.start()
        daemon.wait_said("spool recovered 2 messages")
        daemon.inject("free@example.com")
        self.assertEqual(daemon.wait_records("Delivery")[0]["recipient"], "free@example.com")
        self.assertEqual(len(sink.conns), 1)

    def test_a_handler_may_wait_while_others_go_on(self):
        sink = self.sink()
        daemon = self.relay(sink, prelude="""
            kumo.on('throttle_insert_ready_queue', function(msg)
              if msg:recipient().user == 'slow' then kumo.sleep(1) end
            end)""")
        daemon.inject("slow@example.com")
        daemon.inject("fast@example.com")
        self.assertEqual([r["recipient"] for r in daemon.wait_records("Delivery", 2)],
                         ["fast@example.com", "slow@example.com"])


class Enumerated(Events):

    FAILING = """
        kumo.on('spool_message_enumerated', function(msg)
          note{msg:recipient().user}
          if msg:recipient().user == 'bad' then error('not this one') end
        end)"""

    def test_an_error_holds_back_one_message_alone(self):
        sink = self.sink()
        refusing = self.sink(refuse_rcpt)
        daemon = self.relay(refusing, "retry_interval='1s'", shards=2)
        for user in ("good", "bad", "fine"):
            daemon.inject(user + "@example.com")
        daemon.wait_records("TransientFailure", 3)
        daemon.stop()
        policy = daemon.policy.replace(str(refusing.port), str(sink.port))
        daemon.policy = policy + self.FAILING
        daemon.start()
        delivered = daemon.wait_records("Delivery", 2)
        self.assertEqual({r["recipient"] for r in delivered},
                         {"good@example.com", "fine@example.com"})
        daemon.wait_said("not this one")
        self.assertEqual(sorted(daemon.notes()), ['["bad"]', '["fine"]', '["good"]'])
        daemon.stop()
        daemon.policy = policy
        daemon.start()
        self.assertEqual(daemon.wait_records("Delivery", 3)[2]["recipient"], "bad@example.com")

    def test_many_are_asked_about_in_turn(self):
        refusing, taking = self.sink(refuse_rcpt), self.sink()
        daemon = self.relay(refusing, "retry_interval='1h', max_retry_interval='1h'")
        daemon.inject_many(400)
        daemon.wait_records("TransientFailure", 400)
        daemon.stop()
        daemon.policy = daemon.policy.replace(str(refusing.port), str(taking.port)) + """
            kumo.on('spool_message_enumerated', function(msg)
              kumo.sleep(0.01)
              msg:set_due(nil)
            end)"""
        daemon.start()
        delivered = daemon.wait_records("Delivery", 400)
        self.assertEqual(len({r["id"] for r in delivered}), 400)


class Batches(Events):

    def test_who_has_the_message_does_not_get_it_again_after_a_crash(self):
        def hold_the_second(conn, command):
            if command == "." and len(conn["bodies"]) == 2:
                sink.hold()
        sink = self.sink(hold_the_second)
        daemon = self.daemon(
            self.parking(sink).replace("enable_tls", "max_recipients_per_batch=1, enable_tls"),
            listener="batch_handling='BatchByDomain'")
        daemon.inject(["first@example.com", "second@example.com"])
        sink.wait(lambda events: len([c for n, c in events if c == "."]) == 2)
        self.settle(daemon)
        daemon.kill()
        daemon.start()
        sink.wait(lambda events: (2, ".") in events)
        self.assertEqual([c for c in sink.commands() if c.startswith("RCPT")],
                         ["RCPT TO:<first@example.com>", "RCPT TO:<second@example.com>",
                          "RCPT TO:<second@example.com>"])


class Services(Events):

    def test_a_new_epoch_is_asked_about_by_those_that_go_by_it(self):
        sink = self.sink()
        daemon = self.daemon(
            RECEIVED % "if msg:recipient().user == 'bump' then kumo.bump_config_epoch() end",
            """kumo.on('get_queue_config', function(domain)
                 note{'queue', domain}
                 return kumo.make_queue_config{refresh_strategy='Epoch', %s}
               end)
               kumo.on('get_egress_path_config', function(domain)
                 note{'path', domain}
                 return kumo.make_egress_path{refresh_strategy='Epoch', prohibited_hosts={},
                                              enable_tls='Disabled'}
               end)""" % self.to_sink(sink))
        daemon.inject("user@example.com")
        daemon.wait_records("Delivery")
        before = ['["queue","example.com"]', '["path","example.com"]']
        self.assertEqual(daemon.notes(), before)
        daemon.inject("bump@example.com")
        wait_for(lambda: len(daemon.notes()) == 4, lambda: str(daemon.notes()))
        self.assertEqual(sorted(daemon.notes()[2:]), sorted(before))

    INJECT = """
        kumo.on('smtp_server_message_received', function(msg)
          if msg:recipient().user == 'user' then
            local copy = kumo.make_message('robot@src.test', 'copy@%s',
                                           'Subject: copy\\r\\n\\r\\nx\\r\\n')
            copy:set_meta('tenant', 'robot')
            local ok, err = pcall(kumo.inject_message, copy)
            note{ok, ok or tostring(err):match('[^\\n]+')}
          end
        end)"""

    def test_a_message_of_the_policy_s_own_is_delivered_without_a_reception(self):
        sink = self.sink()
        daemon = self.relay(sink, prelude=self.INJECT % "example.com")
        daemon.inject()
        delivered = {r["recipient"]: r for r in daemon.wait_records("Delivery", 2)}
        self.assertEqual(delivered["copy@example.com"]["queue"], "robot@example.com")
        self.assertEqual(delivered["copy@example.com"]["sender"], "robot@src.test")
        self.assertEqual([r["recipient"] for r in daemon.records("Reception")],
                         ["user@example.com"])
        self.assertEqual(daemon.notes(), ["[true,true]"])
        self.assertIn(b"Subject: copy\r\n\r\nx\r\n",
                      [body for conn in sink.conns for body in conn["bodies"]])

    def test_and_it_waits_in_the_spool_like_any_other(self):
        refusing, taking = self.sink(refuse_rcpt), self.sink()
        daemon = self.relay(refusing, "retry_interval='1s'", prelude=self.INJECT % "example.com")
        daemon.inject()
        daemon.wait_records("TransientFailure", 2)
        daemon.kill()
        daemon.policy = daemon.policy.replace(str(refusing.port), str(taking.port))
        daemon.start()
        self.assertEqual({r["recipient"] for r in daemon.wait_records("Delivery", 2)},
                         {"user@example.com", "copy@example.com"})

    def test_a_queue_that_refuses_it_raises(self):
        daemon = self.daemon(
            self.INJECT % "broken.test",
            """kumo.on('get_queue_config', function(domain)
                 if domain == 'broken.test' then error('no such queue') end
                 return kumo.make_queue_config{%s}
               end)""" % self.to_sink(self.sink()), PATH % "")
        daemon.inject()
        daemon.wait_records("Delivery")
        self.assertIn("no such queue", daemon.notes()[0])
        self.assertTrue(daemon.notes()[0].startswith("[false,"))
        daemon.stop()
        daemon.start()
        daemon.wait_said("spool recovered 0 messages", count=2)


class Deadline(Events):

    def test_a_config_that_takes_too_long_is_the_peer_s_to_wait_for_elsewhere(self):
        sink = self.sink()
        daemon = self.daemon(
            """kumo.on('get_queue_config', function(domain)
                 if domain == 'slow.test' then kumo.sleep(9) end
                 return kumo.make_queue_config{%s}
               end)""" % self.to_sink(sink), PATH % "",
            listener="data_processing_timeout='3s', batch_handling='BatchByDomain'")
        text = daemon.inject(["user@slow.test", "user@example.com"], expect=451)
        self.assertEqual(text, "4.4.5 data_processing_timeout exceeded (resolve)")
        daemon.inject("user@example.com")
        daemon.wait_records("Delivery")
        self.assertEqual([r["recipient"] for r in daemon.records("Reception")],
                         ["user@example.com"])

        def answered():
            """The answer came in the meantime: the queue is there now."""
            try:
                return daemon.inject("later@slow.test")
            except AssertionError:
                return None
        wait_for(answered, "a queue for slow.test")
        daemon.wait_records("Delivery", 2)
        daemon.stop()


class Rewriting(Events):

    def test_an_error_in_the_handler_is_told(self):
        daemon = self.relay(self.sink(refuse_rcpt), prelude="""
            kumo.on('smtp_client_rewrite_delivery_status', function(response)
              error('no idea')
            end)""")
        daemon.inject()
        failure, = daemon.wait_records("TransientFailure")
        self.assertEqual(failure["response"]["code"], 451)
        daemon.wait_said("smtp_client_rewrite_delivery_status: ")
        self.assertIn("no idea", daemon.said())


if __name__ == "__main__":
    main()
