"""Where one run keeps its files, and where it finds programs and policies."""

import os
import shutil
import tempfile

from .process import Failed

PERF_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Place:

    def __init__(self, build_dir, parent):
        self.build_dir = build_dir
        self.directory = tempfile.mkdtemp(prefix="ringperf-", dir=parent)
        self._file_count = 0

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def file(self, name):
        """A path no earlier call has answered."""
        self._file_count += 1
        return self.path("%03d-%s" % (self._file_count, name))

    def tool(self, name):
        path = os.path.join(self.build_dir, name)
        if not os.access(path, os.X_OK):
            raise Failed("%s is not built; build the release preset, or give --build" % path)
        return path

    def policy(self, name):
        return os.path.join(PERF_DIR, "policy", name)
