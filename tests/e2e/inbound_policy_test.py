#!/usr/bin/env python3
"""Mail coming in by SMTP: what the policy decides about it.

Usage: inbound_policy_test.py BUILD_DIR [unittest arguments]
"""

import base64
import json
import re

import ringtest

TROUBLE = "421 4.3.0 mx.test technical difficulties"


class Relaying(ringtest.RingTest):

    DOMAINS = """
        kumo.on('get_listener_domain', function(domain, listener, meta)
          if domain == 'to.test' then return kumo.make_listener_domain{relay_to=true} end
          if domain == 'from.test' then
            return kumo.make_listener_domain{relay_from={'127.0.0.0/8'}}
          end
          if domain == 'elsewhere.test' then
            return kumo.make_listener_domain{relay_from={'192.0.2.0/24'}}
          end
          if domain == 'reports.test' then return kumo.make_listener_domain{log_oob=true} end
        end)"""

    def test_relay_to_lets_anyone_send_to_a_domain(self):
        sink = self.sink()
        client = self.client(self.daemon(self.DOMAINS, "relay_hosts={}", sink))
        client.mailed(recipients=["b@To.test"])
        self.assertEqual(sink.wait_messages(1)[0].recipients, ["<b@to.test>"])

    def test_relay_from_lets_its_peers_send_anywhere(self):
        sink = self.sink()
        client = self.client(self.daemon(self.DOMAINS, "relay_hosts={}", sink))
        client.mailed(sender="a@from.test")
        sink.wait_messages(1)
        client.cmd("MAIL FROM:<a@elsewhere.test>")
        refusal = "550 5.7.1 relaying not permitted for " + client.local
        self.assertEqual(client.cmd("RCPT TO:<b@dst.test>"), refusal)
        client.cmd("RSET")
        client.cmd("MAIL FROM:<>")
        self.assertEqual(client.cmd("RCPT TO:<b@dst.test>"), refusal)
        self.assertEqual(client.cmd("RCPT TO:<Postmaster>"), refusal)

    def test_a_domain_that_only_takes_reports_relays_no_ordinary_mail(self):
        daemon = self.daemon(self.DOMAINS, "relay_hosts={}")
        client = self.client(daemon)
        client.envelope(recipients=["b@reports.test"])
        self.assertEqual(client.data("Subject: no report\r\n\r\n"),
                         "550 5.7.1 relaying not permitted")
        self.assertEqual([r["type"] for r in daemon.stop()], ["Reception", "Rejection"])

    def test_more_domains_than_a_session_remembers_can_all_be_relayed_to(self):
        sink = self.sink()
        daemon = self.daemon("""
            kumo.on('get_listener_domain', function(domain, listener, meta)
              return kumo.make_listener_domain{relay_to=domain:find('^to%d+%.test$') ~= nil}
            end)""", "relay_hosts={}", sink)
        to = ["b@to%d.test" % i for i in range(100)]
        self.assertEqual(len(self.client(daemon).mailed(recipients=to)), 100)
        got = [m.recipients[0] for m in sink.wait_messages(100)]
        self.assertEqual(sorted(got), sorted("<%s>" % r for r in to))

    def test_a_recipient_that_the_policy_changed_is_judged_again(self):
        daemon = self.daemon(self.DOMAINS + """
            kumo.on('smtp_server_message_received', function(msg, meta)
              msg:set_recipient('b@' .. msg:get_first_named_header_value('Subject'))
            end)""", "relay_hosts={}", self.sink())
        client = self.client(daemon)
        client.envelope(recipients=["b@to.test"])
        self.assertEqual(client.data("Subject: dst.test\r\n\r\n"),
                         "550 5.7.1 relaying not permitted")
        client.envelope(recipients=["b@to.test"])
        self.assertEqual(client.data("Subject: to.test\r\n\r\n").code, 250)

    def test_listener_domains_that_suspend_are_waited_for(self):
        sink = self.sink()
        daemon = self.daemon("""
            kumo.on('get_listener_domain', function(domain, listener, meta)
              kumo.sleep(0.01)
              return kumo.make_listener_domain{relay_to=domain ~= 'src.test'}
            end)
            kumo.on('smtp_server_message_received', function(msg, meta)
              msg:set_recipient('new@changed.test')
            end)""", "relay_hosts={}", sink)
        self.client(daemon).mailed()
        self.assertEqual(sink.wait_messages(1)[0].recipients, ["<new@changed.test>"])

    def test_the_handler_gets_domain_listener_and_connection(self):
        daemon = self.daemon("""
            kumo.on('get_listener_domain', function(domain, listener, meta)
              io.stderr:write(string.format('asked %s %s %s\\n', domain, listener,
                                            meta:get_meta('received_via')))
            end)""")
        client = self.client(daemon)
        client.envelope(sender="a@SRC.test", recipients=["b@bücher.test", "c@bücher.test"])
        client.cmd("QUIT")
        daemon.stop()
        at = daemon.addresses[0]
        self.assertEqual([l for l in daemon.log.lines if l.startswith("asked")],
                         ["asked src.test %s %s" % (at, at),
                          "asked xn--bcher-kva.test %s %s" % (at, at)])

    def test_kumo_reject_is_no_answer_of_get_listener_domain(self):
        daemon = self.daemon("""
            kumo.on('get_listener_domain', function() kumo.reject(550, 'no') end)""")
        client = self.client(daemon)
        client.cmd("MAIL FROM:<a@src.test>")
        self.assertEqual(client.cmd("RCPT TO:<b@dst.test>"), TROUBLE)
        self.assertTrue(client.at_end())
        (record,) = daemon.stop()
        self.assertEqual((record["type"], record["response"]["code"]), ("Rejection", 421))


class Overlays(ringtest.RingTest):

    def test_the_longest_prefix_of_peer_and_then_via_lies_over_the_listener(self):
        daemon = self.daemon(listener="""
            meta={a=1, b={'x'}},
            peer={['127.0.0.0/8']={hostname='all.test', banner='all'},
                  ['127.0.0.9/32']={hostname='nine.test', relay_hosts={}, meta={b='nine', c=true},
                                    max_recipients_per_message=1}},
            via={['127.0.0.1']={banner='via'}}""", hooks="""
            kumo.on('smtp_server_mail_from', function(sender, meta)
              kumo.reject(550, string.format('%s %s %s %s', meta:get_meta 'hostname',
                meta:get_meta 'a', meta:get_meta 'b', meta:get_meta 'c'))
            end)""")
        client = self.client(daemon)
        self.assertEqual(client.banner, "220 all.test via")
        self.assertIn("250-all.test Aloha x", client.cmd("EHLO x").text)
        nine = self.client(daemon, source="127.0.0.9")
        self.assertEqual(nine.banner, "220 nine.test via")
        self.assertEqual(nine.cmd("MAIL FROM:<a@src.test>"), "550 nine.test 1 nine true")
        client.close()
        nine.close()

    def test_an_overlay_limits_and_forbids(self):
        sink = self.sink()
        daemon = self.daemon(sink=sink, listener="""
            relay_hosts={'127.0.0.0/8'},
            peer={['127.0.0.9']={relay_hosts={}},
                  ['127.0.0.8']={max_recipients_per_message=1, max_message_size=10,
                                 trace_headers={received_header=false}}}""")
        nine = self.client(daemon, source="127.0.0.9")
        nine.cmd("MAIL FROM:<a@src.test>")
        self.assertEqual(nine.cmd("RCPT TO:<b@dst.test>").code, 550)
        eight = self.client(daemon, source="127.0.0.8")
        eight.envelope()
        self.assertEqual(eight.cmd("RCPT TO:<c@dst.test>").code, 452)
        self.assertEqual(eight.data("too long a message\r\n").code, 552)
        self.assertEqual(eight.cmd("RSET").code, 250)
        eight.mailed("X: y\r\n\r\n")
        self.assertRegex(sink.wait_messages(1)[0].body, b"^X-KumoRef: .*\r\nX: y\r\n\r\n$")

    def test_dynamic_parameters_lie_over_everything(self):
        daemon = self.daemon(listener="peer={['127.0.0.1']={hostname='peer.test'}}", hooks="""
            kumo.on('smtp_server_get_dynamic_parameters', function(listener, meta)
              return {hostname=(listener == meta:get_meta 'received_via') and 'dyn.test' or 'bad',
                      banner='at your service', relay_hosts={}, max_message_size=5000,
                      meta={dyn={1, 2}}}
            end)
            kumo.on('smtp_server_connection_accepted', function(meta)
              meta:set_meta('seen', #meta:get_meta('dyn'))
            end)
            kumo.on('smtp_server_ehlo', function(domain, meta, extensions)
              if domain == 'no.test' then kumo.reject(550, meta:get_meta('seen') .. ' no') end
              extensions[#extensions + 1] = 'XSEEN ' .. meta:get_meta 'seen'
              return extensions
            end)""")
        client = self.client(daemon)
        self.assertEqual(client.banner, "220 dyn.test at your service")
        self.assertEqual(client.cmd("EHLO no.test"), "550 2 no")
        ehlo = client.cmd("EHLO yes.test").lines
        self.assertEqual(ehlo[0], "250-dyn.test Aloha yes.test")
        self.assertEqual(ehlo[-2:], ["250-SIZE 5000", "250 XSEEN 2"])
        client.cmd("MAIL FROM:<a@src.test>")
        self.assertEqual(client.cmd("RCPT TO:<b@dst.test>").code, 550)

    def test_dynamic_parameters_that_are_wrong_end_the_session(self):
        for value in ("nil", "{listen='127.0.0.1:25'}", "{nonsense=1}", "{relay_hosts='x'}"):
            with self.subTest(value):
                daemon = self.daemon("""
                    kumo.on('smtp_server_get_dynamic_parameters', function()
                      return %s
                    end)""" % value)
                client = self.client(daemon)
                self.assertEqual(client.banner, TROUBLE)
                self.assertTrue(client.at_end())

    def test_connection_accepted_refuses_before_the_banner(self):
        client = self.client(self.daemon("""
            kumo.on('smtp_server_connection_accepted', function(meta)
              kumo.reject(554, '5.7.1 not you')
            end)"""))
        self.assertEqual(client.banner, "554 5.7.1 not you")
        self.assertTrue(client.at_end())


class Rejecting(ringtest.RingTest):

    def test_reject_keeps_the_session_and_disconnect_ends_it(self):
        daemon = self.daemon("""
            kumo.on('smtp_server_rcpt_to', function(rcpt)
              if rcpt.user == 'later' then kumo.reject(451, '4.7.1 later') end
            end)
            kumo.on('smtp_server_mail_from', function(sender)
              if sender.user == 'bye' then kumo.disconnect(451, 'bye') end
              if sender.user == 'twice' then kumo.disconnect(451, 'bye', 'FollowWith421') end
              if sender.user == 'if' then kumo.disconnect(451, 'stay', 'If421') end
              if sender.user == 'busy' then kumo.reject(421, 'busy') end
              if sender.user == 'wrong' then kumo.disconnect(451, 'bye', 'Whatever') end
            end)""")
        client = self.client(daemon)
        client.envelope()
        self.assertEqual(client.cmd("RCPT TO:<later@dst.test>"), "451 4.7.1 later")
        self.assertEqual(client.cmd("RCPT TO:<now@dst.test>").code, 250)
        client.cmd("RSET")
        self.assertEqual(client.cmd("MAIL FROM:<if@src.test>"), "451 stay")
        self.assertEqual(client.cmd("MAIL FROM:<bye@src.test>"), "451 bye")
        self.assertTrue(client.at_end())
        for user, replies in (
                ("twice", ["451 bye", "421 mx.test disconnecting due to previous error"]),
                ("busy", ["421 busy"]), ("wrong", [TROUBLE])):
            with self.subTest(user), ringtest.Client(daemon.port) as client:
                client.send("MAIL FROM:<%s@src.test>\r\nNOOP\r\n" % user)
                self.assertEqual([str(r) for r in client.replies(len(replies))], replies)
                self.assertTrue(client.at_end())

    def test_replies_can_be_rewritten(self):
        sink = self.sink()
        daemon = self.daemon("""
            kumo.on('smtp_server_rewrite_response', function(status, response, command, meta)
              if command == 'DATA' and status == 250 then return 250, 'hi\\n' .. response end
              if command == 'RCPT TO:<fail@dst.test>' then error 'boom' end
              if command == nil and response:find '^OK <only' then return 452 end
              if command == 'VRFY x' then return nil, 'never heard' end
              if command == 'EXPN x' then return 421, 'go away' end
            end)
            kumo.on('smtp_server_rcpt_to', function(rcpt)
              if rcpt.user == 'fail' then kumo.reject(550, 'no') end
            end)""", sink=sink)
        client = self.client(daemon)
        reply = client.mail()
        self.assertRegex(reply.text, "^250-hi\r\n250 OK ids=[0-9a-f]{32}\r\n$")
        sink.wait_messages(1)
        client.envelope()
        self.assertEqual(client.cmd("RCPT TO:<fail@dst.test>"), "550 no")
        self.assertEqual(client.cmd("RCPT TO:<only@dst.test>"), "452 OK <only@dst.test>")
        self.assertEqual(client.cmd("VRFY x"), "502 never heard")
        self.assertEqual(client.cmd("EXPN x"), "421 go away")
        self.assertTrue(client.at_end())
        daemon.log.wait(" ERROR smtp_server: .*smtp_server_rewrite_response: .*boom")
        rejections = [(r["response"]["code"], r["response"]["content"]) for r in daemon.stop()
                      if r["type"] == "Rejection"]
        self.assertEqual(rejections, [(550, "no"), (452, "OK <only@dst.test>"),
                                      (502, "never heard"), (421, "go away")])

    def test_a_handler_that_fails_ends_its_session_and_no_other(self):
        for what, code in (("raises", "error 'boom'"), ("loops", "while true do end"),
                           ("allocates", "local t = {} while true do t[#t+1] = {} end"),
                           ("matches",
                            "(('a'):rep(1e6)):find(('a?'):rep(3e3)..('a'):rep(3e3)..'b')")):
            with self.subTest(what):
                # The others wait meanwhile: the budget counts CPU time, and a machine that is
                # shared takes much longer for it.
                daemon = self.daemon("""
                    kumo.on('smtp_server_mail_from', function(sender)
                      if sender.user == 'bad' then %s end
                    end)
                    kumo.on('smtp_server_data', function(msg)
                      if msg:get_first_named_header_value 'Subject' == 'bad' then %s end
                    end)""" % (code, code), "client_timeout='10min'", self.sink(), shards=1)
                client, other = self.client(daemon), self.client(daemon)
                self.assertEqual(client.cmd("MAIL FROM:<bad@src.test>"), TROUBLE)
                self.assertTrue(client.at_end())
                other.envelope()
                self.assertEqual(other.data("Subject: bad\r\n\r\n"), TROUBLE)
                self.assertTrue(other.at_end())
                self.client(daemon).mailed()
                records = [r for r in daemon.stop() if r["type"] == "Rejection"]
                self.assertEqual([r["response"]["code"] for r in records], [421, 421])
                for record in records:
                    self.assertRegex(record["response"]["command"],
                                     "^Error in SmtpServerSession: ")
                complaints = [line for line in daemon.log.lines if " ERROR smtp_server: " in line]
                self.assertEqual(len(complaints), 2, daemon.log.text())


class Messages(ringtest.RingTest):

    def test_edits_of_smtp_server_data_reach_every_batch(self):
        sink = self.sink()
        daemon = self.daemon("""
            kumo.on('smtp_server_data', function(msg, meta)
              meta:set_meta('too_late', 'yes')
              msg:set_meta('mark', {'deep', {1}})
              msg:prepend_header('X-Edited', 'yes')
              msg:set_sender('ignored@src.test')
              local list = msg:recipient_list()
              list[#list + 1] = 'added@dst.test'
              msg:set_recipient(list)
            end)
            kumo.on('smtp_server_message_received', function(msg, meta)
              msg:append_header('X-Seen', string.format('%s %s %s', msg:get_meta('mark')[2][1],
                                tostring(msg:get_meta 'too_late'), msg:recipient().user))
            end)""", sink=sink)
        ids = self.client(daemon).mailed(recipients=("b@dst.test", "c@dst.test"))
        self.assertEqual(len(ids), 3)
        seen = set()
        for message in sink.wait_messages(3):
            self.assertEqual(message.sender.split(" ")[0], "<a@src.test>")
            self.assertIn(b"\r\nX-Edited: yes\r\n", message.body)
            seen.add(re.search(rb"X-Seen: (.*)\r\n", message.body).group(1))
        self.assertEqual(seen, {b"1 nil b", b"1 nil c", b"1 nil added"})

    def test_connection_meta_reaches_the_message(self):
        sink = self.sink()
        daemon = self.daemon("""
            kumo.on('smtp_server_mail_from', function(sender, meta)
              meta:set_meta('tenant', sender.user)
            end)""", sink=sink, logs="meta={'tenant', 'received_from', 'ehlo_domain'}")
        client = self.client(daemon)
        client.cmd("EHLO client.example")
        client.mailed()
        client.mailed(sender="other@src.test")
        sink.wait_messages(2)
        got = {r["queue"]: r["meta"] for r in daemon.stop() if r["type"] == "Reception"}
        self.assertEqual(got, {
            t + "@dst.test": {"tenant": t, "received_from": client.local,
                              "ehlo_domain": "client.example"} for t in ("a", "other")})

    def test_the_policy_splits_a_transaction_as_it_likes(self):
        sink = self.sink()
        daemon = self.daemon("""
            kumo.on('smtp_server_split_transaction', function(msg, meta)
              local how = msg:get_first_named_header_value 'Subject'
              local to = msg:recipient_list()
              if how == 'pairs' then
                return {{to[1].email, to[2].email}, {tostring(to[3]), 'invented@dst.test'}, {}}
              elseif how == 'map' then
                return {one={to[1].email}, rest={to[2].email, to[3].email}}
              elseif how == 'objects' then
                return {{to[1]}, {to[2], to[3]}}
              elseif how == 'nothing' then
                return {}
              elseif how == 'wrong' then
                return {{'no address'}}
              end
            end)""", sink=sink)
        to = ("a@dst.test", "b@dst.test", "c@dst.test")
        for how, batches in (
                ("pairs", [["a", "b"], ["c", "invented"]]),
                ("map", [["a"], ["b", "c"]]),
                ("objects", [["a"], ["b", "c"]]),
                ("default", [["a"], ["b"], ["c"]])):
            with self.subTest(how):
                client = self.client(daemon)
                before = len(sink.messages)
                ids = client.mailed("Subject: %s\r\n\r\n" % how, recipients=to)
                self.assertEqual(len(ids), len(batches))
                got = [m.recipients for m in sink.wait_messages(before + len(ids))[before:]]
                self.assertEqual(sorted(got),
                                 [["<%s@dst.test>" % user for user in b] for b in batches])
        client = self.client(daemon)
        self.assertEqual(client.mail("Subject: nothing\r\n\r\n", recipients=to),
                         "550 5.7.1 relaying not permitted")
        self.assertEqual(client.mail("Subject: wrong\r\n\r\n", recipients=to), TROUBLE)

    def test_a_refused_batch_refuses_the_whole_transaction(self):
        sink = self.sink()
        daemon = self.daemon("""
            kumo.on('smtp_server_message_received', function(msg, meta)
              if msg:recipient().user == 'c' then kumo.reject(550, 'not c') end
            end)""", sink=sink)
        client = self.client(daemon)
        self.assertEqual(client.mail(recipients=("b@dst.test", "c@dst.test")), "550 not c")
        client.mailed(recipients=["d@dst.test"])
        sink.wait_messages(1)
        client.cmd("QUIT")
        types = sorted(r["type"] for r in daemon.stop())
        self.assertEqual(types, ["Delivery", "Reception", "Rejection"])

    def test_the_null_queue_swallows_what_it_gets(self):
        sink = self.sink()
        daemon = self.daemon("""
            kumo.on('smtp_server_message_received', function(msg, meta)
              if msg:recipient().user == 'nobody' then msg:set_meta('queue', 'null') end
            end)""", sink=sink)
        client = self.client(daemon)
        (null_id,) = client.mailed(recipients=["nobody@dst.test"])
        ids = client.mailed(recipients=("nobody@dst.test", "b@dst.test"))
        sink.wait_messages(1)
        client.cmd("QUIT")
        records = daemon.stop()
        self.assertEqual([r["queue"] for r in records if r["id"] in (null_id, ids[0])],
                         ["null", "null"])
        self.assertEqual([r["type"] for r in records if r["id"] == ids[1]],
                         ["Reception", "Delivery"])

    def test_a_queue_that_cannot_be_resolved_keeps_the_session_and_tells_the_story(self):
        daemon = self.daemon(queue="""
            kumo.on('get_queue_config', function() error 'no such queue' end)""")
        client = self.client(daemon)
        self.assertEqual(client.mail(), TROUBLE)
        records = daemon.stop()
        self.assertEqual([r["type"] for r in records], ["Reception", "Bounce", "Rejection"])
        daemon.log.wait(r"ERROR config: get_queue_config: .*no such queue")
        self.assertEqual(records[1]["queue"], "dst.test")
        self.assertEqual(records[1]["response"]["code"], 500)
        self.assertTrue(records[1]["response"]["content"].startswith(
            "KumoMTA internal: QueueManager::insert failed during reception: "), records[1])

    def test_a_handler_that_takes_too_long_is_answered_for(self):
        daemon = self.daemon("""
            kumo.on('smtp_server_data', function() kumo.sleep(0.3) end)""",
                             "data_processing_timeout='0.1s'")
        client = self.client(daemon)
        self.assertEqual(client.mail(), "451 4.4.5 data_processing_timeout exceeded (rx)")
        self.assertEqual(client.cmd("NOOP").code, 250)


class Trace(ringtest.RingTest):

    RECEIVED = (r"Received: from client\.example \(127\.0\.0\.1\)\r\n"
                r"  by mx\.test \(KumoMTA 127\.0\.0\.1\) \r\n"
                r"  with ESMTP id %s for <b@dst\.test>;\r\n"
                r"  (Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([1-9]|[12]\d|3[01]) [A-Z][a-z]{2} \d{4} "
                r"\d\d:\d\d:\d\d \+0000\r\n")

    def one(self, listener="", hooks="", recipients=("b@dst.test",)):
        sink = self.sink()
        client = self.client(self.daemon(hooks, listener, sink))
        client.cmd("EHLO client.example")
        (msg_id,) = client.mailed("Subject: x\r\n\r\nbody\r\n", recipients=recipients)
        return msg_id, sink.wait_messages(1)[0].body.decode()

    def test_trace_headers_are_exact(self):
        msg_id, body = self.one()
        match = re.fullmatch("X-KumoRef: (\\S+)\r\n" + self.RECEIVED % msg_id
                             + "Subject: x\r\n\r\nbody\r\n", body)
        self.assertTrue(match, body)
        self.assertEqual(base64.b64decode(match.group(1), validate=True),
                         rb'{"_@_":"\\_/","recipient":"b@dst.test"}')

    def test_a_peer_that_did_not_greet_is_unspecified(self):
        sink = self.sink()
        self.client(self.daemon(sink=sink)).mailed()
        self.assertIn(b"Received: from unspecified (127.0.0.1)\r\n",
                      sink.wait_messages(1)[0].body)

    def test_trace_headers_can_be_left_out_or_named_and_filled(self):
        _, body = self.one("trace_headers={received_header=false, supplemental_header=false}")
        self.assertEqual(body, "Subject: x\r\n\r\nbody\r\n")
        _, body = self.one("""batch_handling='BatchByDomain',
            trace_headers={received_header=false, header_name='X-Ours',
                           include_meta_names={'zebra', 'mark', 'absent'}}""", """
            kumo.on('smtp_server_message_received', function(msg)
              msg:set_meta('mark', {a=1})
              msg:set_meta('zebra', ('z'):rep(100))
            end)""", ("b@dst.test", "c@dst.test"))
        name, rest = body.split(": ", 1)
        value, rest = rest.split("\r\nSubject", 1)
        self.assertEqual(name, "X-Ours")
        lines = value.split("\r\n\t")
        self.assertEqual({len(line) for line in lines[:-1]}, {75})
        self.assertTrue(0 < len(lines[-1]) <= 75)
        text = base64.b64decode("".join(lines), validate=True).decode()
        self.assertEqual(text, json.dumps({
            "_@_": "\\_/", "absent": None, "mark": {"a": 1},
            "recipient": ["b@dst.test", "c@dst.test"], "zebra": 100 * "z"},
                                          separators=(",", ":")))


if __name__ == "__main__":
    ringtest.main()
