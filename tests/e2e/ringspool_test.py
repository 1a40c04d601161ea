#!/usr/bin/env python3
"""What ringspool says of spools that a daemon has left: stopped, killed, damaged.

Usage: ringspool_test.py BUILD_DIR [unittest arguments]
"""

import glob
import os
import threading
import unittest

import ringtest
import ringtools

LARGE = b"Subject: large\r\n\r\n" + b"".join(b"%d .\r\n" % i for i in range(110000))
SMALL = b"Subject: small\r\n\r\nhello\r\n"
BLOCK, ENTRY_HEAD = 4096, 48  # docs/formats/segment.md
MARK = b"find this in the spool"


def two_paths(text):
    return text.replace("name='data', path='@DIR@/data'",
                        "name='data', path={'@DIR@/one', '@DIR@/two'}")


class RingspoolTest(ringtest.RingTest):

    def start(self, edit=lambda text: text, **named):
        """A daemon whose mail stays where it is."""
        daemon = ringtest.Daemon(edit(ringtest.policy(queue_options="retry_interval='1h'")), **named)
        self.addCleanup(daemon.end)
        return daemon

    def listed(self, *paths):
        run = ringtools.ringspool("ls", *paths)
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        return [line.split()[0].decode() for line in run.stdout.splitlines()]

    def verify(self, *paths):
        run = ringtools.ringspool("verify", *paths)
        return run.returncode, run.stdout.decode()

    def test_the_messages_of_all_paths_are_listed_and_given_back(self):
        daemon = self.start(two_paths, shards=2)
        sent = {}
        with self.client(daemon) as client:
            for number in range(20):
                body = b"Subject: %d\r\n\r\n.dots\r\n%s\r\n" % (number, MARK)
                for name in client.mailed(body, recipients=("a@dst.test", "b@other.test")):
                    sent[name] = body
            sent[client.mailed(LARGE)[0]] = LARGE
            client.envelope()
            self.assertEqual(client.cmd(b"BDAT 500000\r\n" + LARGE[:500000]).code, 250)
            reply = client.cmd(b"BDAT %d LAST\r\n" % (len(LARGE) - 500000) + LARGE[500000:])
            sent[reply.text.split("=")[1].strip()] = LARGE
        daemon.stop()
        paths = [daemon.directory + "/one", daemon.directory + "/two"]
        used = [path for path in paths if self.listed(path)]
        self.assertEqual(sorted(self.listed(*paths)), sorted(sent))
        self.assertEqual(used, paths)
        for name in (list(sent)[0], *list(sent)[-3:]):  # each reads all of the spool
            run = ringtools.ringspool("cat", name, *paths)
            self.assertEqual((run.returncode, run.stderr), (0, b""))
            self.assertTrue(run.stdout.endswith(sent[name]), name)
        self.assertEqual(self.verify(*paths)[0], 0)

    def mail_until_gone(self, daemon, ids):
        """One client's messages, until the daemon is."""
        try:
            with ringtest.Client(daemon.port) as client:
                while True:
                    ids.extend(client.mailed(LARGE if len(ids) % 10 == 5 else SMALL))
        except (OSError, AssertionError):
            pass

    def test_a_killed_daemon_leaves_no_damage_and_all_it_promised(self):
        ids = []
        directory = None
        for shards in (2, 1, 3):
            daemon = self.start(directory=directory, shards=shards)
            if directory is None:
                directory = daemon.directory
            before = len(ids)
            clients = [threading.Thread(target=self.mail_until_gone, args=(daemon, ids))
                       for _ in range(4)]
            for client in clients:
                client.start()
            while len(ids) < before + 60:
                clients[0].join(0.01)
            daemon.kill()
            for client in clients:
                client.join()
            code, text = self.verify(directory + "/data")
            self.assertEqual(code, 0, text)
            self.assertLessEqual(set(ids), set(self.listed(directory + "/data")))

    def test_a_message_with_its_outcome_is_listed_no_more(self):
        sink = self.sink()
        daemon = ringtest.Daemon(ringtest.policy(sink=sink))
        self.addCleanup(daemon.end)
        with self.client(daemon) as client:
            name = client.mailed()[0]
        sink.wait_messages(1)
        daemon.wait_records("Delivery")
        daemon.stop()
        self.assertEqual(self.listed(daemon.directory + "/data"), [])
        run = ringtools.ringspool("cat", name, daemon.directory + "/data")
        self.assertIn(b"has its outcome", run.stderr)

    def find(self, directory, what):
        for path in glob.glob(directory + "/data/log-*/seg-*"):
            with open(path, "rb") as file:
                at = file.read().find(what)
                if at >= 0:
                    return path, at
        raise AssertionError("not in the spool: %r" % what)

    @staticmethod
    def flip(path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def test_a_flipped_bit_in_what_was_promised_is_told(self):
        daemon = self.start(shards=1)
        with self.client(daemon) as client:
            for number in range(30):
                client.mailed(b"Subject: %d\r\n\r\n%s %d\r\n" % (number, MARK, number))
        daemon.kill()  # so that no segment is sealed
        path, body = self.find(daemon.directory, b"Subject: 7\r\n\r\n" + MARK)
        commit = body // BLOCK * BLOCK
        entry = body - ENTRY_HEAD
        self.assertEqual(self.verify(daemon.directory + "/data")[0], 0)
        for what, at in (("a body", body + 3), ("an entry's head", entry + 8),
                         ("a commit's head", commit + 20)):
            with self.subTest(what):
                self.flip(path, at)
                code, text = self.verify(daemon.directory + "/data")
                self.flip(path, at)
                self.assertEqual(code, 1, text)
                self.assertRegex(text, os.path.basename(path) + ".* DAMAGED")
        self.assertEqual(self.verify(daemon.directory + "/data")[0], 0)

    def test_what_is_no_spool_is_an_error(self):
        self.assertEqual(ringtools.ringspool("verify", "/nonexistent").returncode, 1)
        self.assertEqual(ringtools.ringspool("dig").returncode, 1)
        self.assertEqual(ringtools.ringspool("--help").returncode, 0)


if __name__ == "__main__":
    ringtest.main()
