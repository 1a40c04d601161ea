"""A disk as a trace of tests/support/ring_recorder.h tells of it: what is surely stable at a
point, what is under way, and the images that a power failure at that point may leave.

A directory's changes are under way until a sync of it that began afterwards has completed; bytes
likewise, or until their own write with dsync has. A write with dsync makes a file as long as that
write needs, a sync as long as it was. Of the bytes under way any subset may be there, torn at
sectors; of the changes to directories, those up to some moment.
"""

import os
import random
import shutil
import struct

O_CREAT, O_TRUNC, O_DIRECTORY = 0o100, 0o1000, 0o200000
SECTOR = 512
BLOCK = 1 << 16


class Write:
    def __init__(self, begun, offset, size, data, dsync):
        self.begun, self.ended = begun, None  # moments, as Disk.moment counts them
        self.offset, self.size, self.data, self.dsync = offset, size, data, dsync
        self.hidden = []  # (from, to): a later write's bytes there are stable already

    def end(self):
        return self.offset + self.size

    def hides(self, at, size):
        return any(begin <= at and at + size <= end for begin, end in self.hidden)


class Inode:
    """A file. `path` holds what is stable of it."""

    def __init__(self, path):
        self.path = path
        self.size = 0            # stable
        self.size_pending = 0    # as the process sees it, but for its writes
        self.tail = 0            # where the stable bytes that are not zeros end
        self.pending = []        # Write, in order
        open(path, "wb").close()

    def settle(self, write):
        """A write has become stable; no earlier one can come to light there any more."""
        with open(self.path, "r+b", buffering=0) as file:
            self.tail = put(file, write.offset, write.size, write.data, self.tail)
        self.size = max(self.size, write.end())
        self.pending.remove(write)
        for other in self.pending:
            if other.ended is not None and other.ended < write.begun and \
                    other.offset < write.end() and write.offset < other.end():
                other.hidden.append((write.offset, write.end()))


class Sync:
    """A sync under way, and what it covers."""

    def __init__(self, target, covered, size):
        self.target, self.covered, self.size = target, covered, size


def put(file, offset, size, data, tail):
    """Writes; zeros only where there may be something else. Answers where that ends."""
    if data is not None:
        file.seek(offset)
        file.write(data)
        return max(tail, offset + size)
    if offset < tail:
        file.seek(offset)
        file.write(bytes(min(size, tail - offset)))
    if os.fstat(file.fileno()).st_size < offset + size:
        file.truncate(offset + size)
    return tail


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
    """Follows a trace entry by entry, and the next life's after it."""

    def __init__(self, root, directory):
        self.root = root
        self.directory = directory
        self.count = 0
        self.moment = 0
        self.fds = {}            # descriptor -> Inode, or the path of a directory
        self.names = {}          # path -> Inode, or None for a directory: as the process sees it
        self.stable = {}         # the same after a power failure
        self.changes = []        # (directory, function on a dict of names), not stable yet
        self.ops = {}            # what stands for an operation -> (Inode, Write) or Sync
        self.acknowledged = []   # ids, in order
        self.now_ms = 0
        os.makedirs(directory)

    def change(self, path, function):
        function(self.names)
        self.changes.append((os.path.dirname(path), function))

    def inode(self):
        self.count += 1
        return Inode(os.path.join(self.directory, "inode-%d" % self.count))

    # ---- entries ----

    def entry(self, kind, now_ms, rest):
        self.now_ms = now_ms
        self.moment += 1
        getattr(self, "on_" + kind)(rest)

    def on_O(self, rest):
        fd, flags = struct.unpack_from("<II", rest)
        path = rest[8:].decode()
        if flags & O_DIRECTORY:
            self.fds[fd] = path
            return
        assert path in self.names or flags & O_CREAT, path
        if path not in self.names or flags & O_TRUNC:
            inode = self.inode()  # cut to nothing is as good as a new file under the old name
            self.change(path, lambda names: names.__setitem__(path, inode))
        self.fds[fd] = self.names[path]

    def on_C(self, rest):
        del self.fds[struct.unpack("<I", rest)[0]]

    def on_M(self, rest):
        path = rest.decode()
        missing = []
        while path not in self.names and path != self.root:
            missing.append(path)
            path = os.path.dirname(path)
        for made in reversed(missing):
            self.change(made, lambda names, made=made: names.__setitem__(made, None))

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
        self.fds[fd].size_pending = max(self.fds[fd].size_pending, size)

    def on_W(self, rest):
        op, fd, offset, dsync, size = struct.unpack_from("<QIQBI", rest)
        write = Write(self.moment, offset, size, rest[25:] or None, bool(dsync))
        self.fds[fd].pending.append(write)
        self.ops[op] = (self.fds[fd], write)

    def on_F(self, rest):
        op, fd = struct.unpack("<QI", rest)
        target = self.fds[fd]
        if isinstance(target, Inode):
            covered = [write for write in target.pending if write.ended is not None]
            size = max([target.size_pending] + [write.end() for write in covered])
        else:
            covered = [change for change in self.changes if change[0] == target]
            size = 0
        self.ops[op] = Sync(target, covered, size)

    def on_D(self, rest):
        op, res = struct.unpack("<Qi", rest)
        what = self.ops.pop(op)
        if isinstance(what, Sync):
            if res == 0:
                self.synced(what)
            return
        inode, write = what
        if res == write.size:  # whatever else was written of it may be there or not, for good
            write.ended = self.moment
            if write.dsync:
                inode.settle(write)

    def synced(self, sync):
        if isinstance(sync.target, Inode):
            for write in sync.covered:
                if write in sync.target.pending:
                    sync.target.settle(write)
            sync.target.size = max(sync.target.size, sync.size)
            return
        for change in sync.covered:
            if change in self.changes:
                self.changes.remove(change)
                change[1](self.stable)

    def on_K(self, rest):
        self.acknowledged += rest.decode().split("=")[1].split()

    # ---- lives ----

    def end_life(self, tree, in_order):
        """The process is gone, the machine goes on: what was under way is what `tree` shows. What
        nobody has synced is still not stable. Answers how the tree differs from what the trace
        made of it: a kill may come between a deed and its entry, so a few names may."""
        for path, inode in self.names.items():
            place = tree + path[len(self.root):]
            if inode is not None and os.path.exists(place):
                self.end_writes(inode, place)
        self.fds, self.ops = {}, {}
        strange = self.take_names(tree)
        assert len(strange) <= (0 if in_order else 4), strange
        return strange + [path for path in self.names if self.differs(path, tree)]

    def end_writes(self, inode, place):
        with open(place, "rb") as file:
            for write in [w for w in inode.pending if w.ended is None]:
                file.seek(write.offset)
                data = file.read(write.size)
                write.size = len(data)
                write.data = data if data.strip(b"\0") else None
                write.ended = self.moment
                if write.dsync:
                    inode.settle(write)
        inode.size_pending = max(inode.size_pending, os.path.getsize(place))

    def take_names(self, tree):
        """Names that came or went without an entry."""
        found = {}
        for place, folders, files in os.walk(tree):
            base = self.root + place[len(tree):]
            found.update({os.path.join(base, name): None for name in folders})
            found.update({os.path.join(base, name): os.path.join(place, name) for name in files})
        strange = []
        for path in sorted(set(found) - set(self.names)):
            inode = None
            if found[path] is not None:
                inode = self.inode()
                inode.size_pending = os.path.getsize(found[path])
            self.change(path, lambda names, path=path, inode=inode: names.__setitem__(path, inode))
            strange.append(path)
        for path in sorted(set(self.names) - set(found)):
            self.change(path, lambda names, path=path: names.pop(path, None))
            strange.append(path)
        return strange

    def differs(self, path, tree):
        """Whether a file is not what the trace says a reader would see."""
        inode = self.names[path]
        if inode is None:
            return False
        seen = os.path.join(self.directory, "seen")
        self.image_file(inode, seen, "all", random)
        same = same_bytes(seen, tree + path[len(self.root):])
        os.unlink(seen)
        return not same

    # ---- images ----

    def image(self, to, dice):
        """What a power failure now may leave, below `to` instead of the root. The extremes come
        more often than they would if every write were left to chance."""
        fate = dice.choice(("nothing", "all", "any", "any", "any"))
        names = dict(self.stable)
        count = {"nothing": 0, "all": len(self.changes)}.get(
            fate, dice.randint(0, len(self.changes)))
        for _, function in self.changes[:count]:
            function(names)
        os.makedirs(to)
        for path, inode in sorted(names.items(), key=lambda item: item[0]):
            place = to + path[len(self.root):]
            if inode is None:
                if os.path.isdir(os.path.dirname(place)):
                    os.mkdir(place)
            elif os.path.isdir(os.path.dirname(place)):
                self.image_file(inode, place, fate, dice)

    @staticmethod
    def image_file(inode, place, fate, dice):
        copy_sparse(inode.path, place)
        longest = max(inode.size, inode.size_pending)
        size = {"nothing": inode.size, "all": longest}.get(
            fate, dice.choice((inode.size, longest)))
        with open(place, "r+b", buffering=0) as file:
            file.truncate(size)
            tail = inode.tail
            for write in inode.pending:
                each = fate if fate != "any" else dice.choice(
                    ("nothing", "all", "torn", "head", "tail"))
                if each != "nothing":
                    tail = put_torn(file, write, each, tail, dice)


def put_torn(file, write, fate, tail, dice):
    """Some sectors of a write; answers where what is not zero ends now."""
    sectors = (write.size + SECTOR - 1) // SECTOR
    cut = dice.randint(0, sectors)
    if fate == "all" and not write.hidden:
        return put(file, write.offset, write.size, write.data, tail)
    for sector in range(sectors):
        at = sector * SECTOR
        size = min(SECTOR, write.size - at)
        keep = {"all": True, "torn": dice.random() < 0.5, "head": sector < cut,
                "tail": sector >= cut}[fate]
        if keep and not write.hides(write.offset + at, size):
            data = write.data[at:at + size] if write.data is not None else None
            tail = put(file, write.offset + at, size, data, tail)
    return tail


def same_bytes(one, other):
    """Whether two files with holes hold the same."""
    with open(one, "rb") as a, open(other, "rb") as b:
        size = os.fstat(a.fileno()).st_size
        if size != os.fstat(b.fileno()).st_size:
            return False
        at = 0
        while at < size:
            at = min(next_data(a, at), next_data(b, at))
            a.seek(at)
            b.seek(at)
            if a.read(BLOCK) != b.read(BLOCK):
                return False
            at += BLOCK
    return True


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
