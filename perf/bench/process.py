"""Child processes with a log file, their CPU time, and an end that always comes."""

import os
import re
import signal
import subprocess
import time


class Failed(Exception):
    """The measurement cannot go on; the text says why."""


class Process:
    """A child whose output goes to a file; `cpu_s` is known once it has ended."""

    running = []  # every child that was not seen to end, for stop_all()

    def __init__(self, argv, log_path, env=None, cwd=None, new_session=False):
        self.argv = argv
        self.log_path = log_path
        self.cpu_s = None
        self.started = time.monotonic()
        with open(log_path, "wb") as log:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env={**os.environ, **(env or {})}, cwd=cwd,
                                          start_new_session=new_session)
        self.pid = self.popen.pid
        Process.running.append(self)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def log_tail(self, size=1500):
        return self.log()[-size:]

    def _reap(self, flags):
        if self.cpu_s is not None:
            return True
        pid, status, usage = os.wait4(self.pid, flags)
        if pid == 0:
            return False
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        Process.running.remove(self)
        return True

    def ended(self):
        return self._reap(os.WNOHANG)

    def wait(self, limit_s):
        """The exit status; a process that outlives the limit is a failure."""
        deadline = time.monotonic() + limit_s
        while not self.ended():
            if time.monotonic() > deadline:
                raise Failed("%s did not end within %d s" % (self.argv[0], limit_s))
            time.sleep(0.002)
        return self.popen.returncode

    def wait_for_line(self, pattern, limit_s):
        """Until its log has a line that matches; answers the match."""
        deadline = time.monotonic() + limit_s
        while True:
            match = re.search(pattern, self.log(), re.MULTILINE)
            if match:
                return match
            if self.ended():
                raise Failed("%s ended before it was ready:\n%s" % (self.argv[0],
                                                                    self.log_tail()))
            if time.monotonic() > deadline:
                raise Failed("%s was not ready within %d s:\n%s" % (self.argv[0], limit_s,
                                                                    self.log_tail()))
            time.sleep(0.01)

    def stop(self, limit_s=60.0):
        """SIGTERM, and SIGKILL when that is not enough."""
        for sig in (signal.SIGTERM, signal.SIGKILL):
            if self.ended():
                return
            os.kill(self.pid, sig)
            try:
                self.wait(limit_s)
                return
            except Failed:
                continue

    def kill(self):
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            self.wait(30)

    @classmethod
    def stop_all(cls):
        for process in list(cls.running):
            process.stop(10)
