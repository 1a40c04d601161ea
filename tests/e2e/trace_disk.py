"""A disk as a trace of tests/support/ring_recorder.h tells of it: what is surely stable at a
point, what is under way, and the images that a power failure at that point may leave.

A directory's changes are under way until the directory is synced, bytes until their write with
dsync has completed or a sync that was asked for afterwards has. Of the bytes under way any subset
may be there, torn at sectors; of the changes to directories, those up to some moment.
"""

import os
import shutil
import struct

O_CREAT, O_TRUNC, O_DIRECTORY = 0o100, 0o1000, 0o200000
SECTOR = 512
BLOCK = 1 << 16


class Write:
    def __init__(self, offset, size, data, dsync):
        self.offset, self.size, self.data, self.dsync = offset, size, data, dsync
        self.completed = False


class Inode:
    """A file. `path` holds what is stable of it."""

    def __init__(self, path):
        self.path = path
        self.size = 0            # stable
        self.size_pending = 0
        self.end = 0             # of the stable bytes that are not zeros
        self.pending = []        # Write, in order
        open(path, "wb").close()

    def apply(self, write):
        with open(self.path, "r+b") as file:
            self.end = put(file, write.offset, write.size, write.data, self.end)
        self.size = max(self.size, write.offset + write.size, self.size_pending)


def put(file, offset, size, data, end):
    """Writes; zeros only where there may be something else. Answers where that ends."""
    if data is not None:
        file.seek(offset)
        file.write(data)
        return max(end, offset + size)
    if offset < end:
        file.seek(offset)
        file.write(bytes(min(size, end - offset)))
    return end


def copy_sparse(source, to):
    """Only what is not zero is copied. Answers the length, and where the last of it ends."""
    zeros = bytes(BLOCK)
    end = 0
    with open(source, "rb") as file, open(to, "wb") as out:
        size = os.fstat(file.fileno()).st_size
        at = next_data(file, 0)
        while at < size:
            file.seek(at)
            data = file.read(BLOCK)
            if data != zeros[:len(data)]:
                out.seek(at)
                out.write(data)
                end = at + len(data)
            at = next_data(file, at + len(data))
        out.truncate(size)
    return size, end


def next_data(file, at):
    """From here or further on, not in a hole; the length when nothing follows."""
    try:
        return os.lseek(file.fileno(), at, os.SEEK_DATA) // BLOCK * BLOCK
    except OSError:
        return os.fstat(file.fileno()).st_size


class Disk:
    """Follows a trace entry by entry."""

    def __init__(self, root, directory):
        self.root = root
        self.directory = directory
        self.count = 0
        self.fds = {}            # descriptor -> Inode, or the path of a directory
        self.names = {}          # path -> Inode, or None for a directory: as the process sees it
        self.stable = {}         # the same after a power failure
        self.changes = []        # (directory, function on a dict of names), not stable yet
        self.ops = {}            # address of the operation -> (Inode, Write or list of Write)
        self.acknowledged = []   # (wall clock in ms, id)
        self.now_ms = 0
        os.makedirs(directory)

    def change(self, path, function):
        function(self.names)
        self.changes.append((os.path.dirname(path), function))

    def inode(self):
        self.count += 1
        return Inode(os.path.join(self.directory, "inode-%d" % self.count))

    def adopt(self, directory):
        """Begins again with what lies in a directory, as a process that was killed has left it:
        the kernel goes on, so all of that becomes stable."""
        self.fds, self.ops, self.changes, self.names = {}, {}, [], {}
        for place, folders, files in os.walk(directory):
            base = self.root + place[len(directory):]
            for name in folders:
                self.names[os.path.join(base, name)] = None
            for name in files:
                inode = self.inode()
                inode.size, inode.end = copy_sparse(os.path.join(place, name), inode.path)
                self.names[os.path.join(base, name)] = inode
        self.stable = dict(self.names)

    # ---- entries ----

    def entry(self, kind, now_ms, rest):
        self.now_ms = now_ms
        getattr(self, "on_" + kind)(rest)

    def on_O(self, rest):
        fd, flags = struct.unpack_from("<II", rest)
        path = rest[8:].decode()
        if flags & O_DIRECTORY:
            self.fds[fd] = path
            return
        if path not in self.names:
            inode = self.inode()
            self.change(path, lambda names: names.__setitem__(path, inode))
        elif flags & O_TRUNC:
            inode = self.inode()  # as good as a new file under the old name
            self.change(path, lambda names: names.__setitem__(path, inode))
        self.fds[fd] = self.names[path]

    def on_C(self, rest):
        self.fds.pop(struct.unpack("<I", rest)[0], None)

    def on_M(self, rest):
        path = rest.decode()
        missing = []
        while path not in self.names and path.startswith(self.root) and path != self.root:
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            self.change(path, lambda names, path=path: names.__setitem__(path, None))

    def on_U(self, rest):
        path = rest.decode()
        self.change(path, lambda names: names.pop(path, None))

    def on_R(self, rest):
        source, to = (name.decode() for name in rest.split(b"\0"))
        inode = self.names[source]

        def rename(names):
            names.pop(source, None)
            names[to] = inode
        self.change(to, rename)

    def on_A(self, rest):
        fd, size = struct.unpack("<IQ", rest)
        self.fds[fd].size_pending = size

    def on_P(self, rest):
        fd, offset = struct.unpack_from("<IQ", rest)
        write = Write(offset, len(rest) - 12, rest[12:], False)
        write.completed = True
        self.fds[fd].pending.append(write)

    def on_S(self, rest):
        target = self.fds[struct.unpack("<I", rest)[0]]
        if isinstance(target, Inode):
            self.settle(target, list(target.pending))
        else:
            left = []
            for directory, function in self.changes:
                if directory == target:
                    function(self.stable)
                else:
                    left.append((directory, function))
            self.changes = left

    def settle(self, inode, writes):
        for write in writes:
            inode.apply(write)
            inode.pending.remove(write)
        inode.size = max(inode.size, inode.size_pending)

    def on_W(self, rest):
        op, fd, offset, dsync, size = struct.unpack_from("<QIQBI", rest)
        data = rest[25:] or None
        write = Write(offset, size, data, bool(dsync))
        self.fds[fd].pending.append(write)
        self.ops[op] = (self.fds[fd], write)

    def on_F(self, rest):
        op, fd = struct.unpack("<QI", rest)
        target = self.fds[fd]
        covered = [w for w in target.pending if w.completed] if isinstance(target, Inode) else []
        self.ops[op] = (target, covered)

    def on_D(self, rest):
        op, res = struct.unpack("<Qi", rest)
        target, what = self.ops.pop(op)
        if isinstance(what, list):
            if res == 0:
                self.settle(target, what)
        elif res == what.size:
            what.completed = True
            if what.dsync:
                self.settle(target, [what])

    def on_K(self, rest):
        for text in rest.decode().split("=")[1].split():
            self.acknowledged.append((self.now_ms, text))

    # ---- images ----

    def image(self, to, random):
        """What a power failure now may leave, below `to` instead of the root."""
        names = dict(self.stable)
        for _, function in self.changes[:random.randint(0, len(self.changes))]:
            function(names)
        os.makedirs(to)
        for path, inode in sorted(names.items(), key=lambda item: item[0]):
            place = to + path[len(self.root):]
            if inode is None:
                os.makedirs(place, exist_ok=True)
            elif os.path.isdir(os.path.dirname(place)):
                self.image_file(inode, place, random)

    def image_file(self, inode, place, random):
        copy_sparse(inode.path, place)
        size = random.choice((inode.size, max(inode.size, inode.size_pending)))
        with open(place, "r+b") as file:
            file.truncate(size)
            end = inode.end
            for write in inode.pending:
                fate = random.choice(("nothing", "all", "torn", "head", "tail"))
                if fate != "nothing":
                    end = torn(file, write, fate, end, random)


def torn(file, write, fate, end, random):
    """Some sectors of a write; answers where what is not zero ends now."""
    sectors = (write.size + SECTOR - 1) // SECTOR
    cut = random.randint(0, sectors)
    for sector in range(sectors):
        at = sector * SECTOR
        keep = {"all": True, "torn": random.random() < 0.5, "head": sector < cut,
                "tail": sector >= cut}[fate]
        if keep:
            size = min(SECTOR, write.size - at)
            data = write.data[at:at + size] if write.data is not None else None
            end = put(file, write.offset + at, size, data, end)
    return end


def copy_tree(source, to):
    """A directory of files with holes."""
    for place, _, files in os.walk(source):
        base = to + place[len(source):]
        os.makedirs(base)
        for name in files:
            copy_sparse(os.path.join(place, name), os.path.join(base, name))


def entries(path):
    """(kind, wall clock in ms, the rest) of every whole entry."""
    with open(path, "rb") as file:
        while True:
            head = file.read(13)
            if len(head) < 13:
                return
            size, now_ms = struct.unpack("<IQ", head[1:])
            rest = file.read(size - 8)
            if len(rest) < size - 8:
                return
            yield chr(head[0]), now_ms, rest


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
