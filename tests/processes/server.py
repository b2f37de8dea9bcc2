"""A server that can be killed, frozen and started again, and forgets nothing that it has answered."""

import signal
import subprocess
import time

from tests.stores.redis.servers import PATIENCE, Server, _answers

# What is answered has been written; who kills the process, and not the machine, needs no fsync. (With "everysec" the
# write itself may wait for an fsync that is under way, and the answer does not.)
_KEEPING = ("--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-min-size", "8mb")


class KeptServer(Server):
    """One server with an append-only file, on the same socket and in the same folder each time that it starts."""

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def restart(self) -> None:
        """Start it again; returns when it has read its file."""
        self._process = self._start()

    def freeze(self) -> None:
        """Let it hang."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, frozen or not."""
        self.thaw()
        super().close()

    def _start(self) -> "subprocess.Popen[bytes]":
        options = ["--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", str(self.folder), *_KEEPING]
        process = subprocess.Popen([self._binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while not _answers(self.socket):
            assert process.poll() is None, f"{self.name} did not start"
            assert time.monotonic() < until, f"{self.name} does not answer"
            time.sleep(0.01)
        return process
