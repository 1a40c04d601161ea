#!/usr/bin/env python3
"""What the daemon does when memory runs out: nothing new comes in, what waits leaves memory, and all
goes on by itself afterwards.

Usage: memory_test.py BUILD_DIR [unittest arguments]
"""

import ringtest

# A peer moves the limit: "EHLO limit-N.test".
LIMITS = """
kumo.on('smtp_server_ehlo', function(domain)
  local limit = domain:match('^limit%-(%d+)%.test$')
  if limit then kumo.set_memory_soft_limit(tonumber(limit)) end
end)
"""

MIB = 1 << 20
PLENTY = 1 << 50
SHEDDING = "421 4.3.2 mx.test load shedding. Try later"
OVER = "ERROR memory: .* used of .*: shedding load"
AGAIN = "INFO memory: .* used of .*: accepting again"


class Memory(ringtest.RingTest):

    def set_limit(self, client, limit):
        self.assertEqual(client.cmd("EHLO limit-%d.test" % limit).code, 250)

    def test_over_the_soft_limit_nothing_new_comes_in_until_it_is_over(self):
        sink = self.sink()
        daemon = self.daemon(LIMITS, sink=sink)
        setter, sender = self.client(daemon), self.client(daemon)
        sender.cmd("EHLO x.test")
        sender.cmd("MAIL FROM:<a@src.test>")
        self.set_limit(setter, MIB)
        daemon.log.wait(OVER)
        for _ in range(4):  # whatever shard takes it
            late = self.client(daemon)
            self.assertEqual(late.banner, SHEDDING)
            self.assertTrue(late.at_end())
        self.assertEqual(sender.cmd("RCPT TO:<b@dst.test>").code, 250)
        self.assertEqual(sender.cmd("DATA").code, 354)
        sender.send("Subject: begun before\r\n\r\nx\r\n.\r\n")
        self.assertEqual(sender.reply().code, 250)
        sink.wait_messages(1)  # what was accepted goes out
        self.assertEqual(sender.cmd("MAIL FROM:<a@src.test>"), SHEDDING)
        self.set_limit(setter, PLENTY)
        daemon.log.wait(AGAIN)
        self.client(daemon).mailed("Subject: after\r\n\r\nx\r\n")
        sink.wait_messages(2)
        self.assertEqual([r for r in daemon.stop() if r["type"] == "Rejection"], [])

    def test_limits_follow_each_other_and_can_be_asked_for(self):
        daemon = self.daemon(init="""
  assert(kumo.get_memory_hard_limit() > 0)
  kumo.set_memory_hard_limit(1e14)
  assert(kumo.get_memory_soft_limit() == 75e12)
  kumo.set_memory_soft_limit(8e13)
  assert(kumo.get_memory_soft_limit() == 8e13)
  assert(kumo.get_memory_low_thresh() == 64e12)
  kumo.set_memory_low_thresh(5)
  assert(kumo.get_memory_low_thresh() == 5)
  assert(not pcall(kumo.set_memory_soft_limit, 'much'))""")
        daemon.log.wait("WARN memory: .*: messages that wait leave memory")
        self.client(daemon).mailed()

    def test_the_environment_sets_a_limit(self):
        daemon = self.daemon(env={"KUMOD_MEMORY_SOFT_LIMIT": "5000"},
                             init="  assert(kumo.get_memory_soft_limit() == 5000)")
        daemon.log.wait(OVER)
        self.assertEqual(self.client(daemon).banner, SHEDDING)


if __name__ == "__main__":
    ringtest.main()
