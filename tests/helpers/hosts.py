"""Hosts on this machine: each has its own network address, processes, file system and SSH server.

A host is a set of Linux namespaces. Its root file system is an overlay over this machine's: it sees all installed
programs, and what it writes is in its own memory. When its first process is killed, all of it is gone.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("ip", "unshare", "chroot", "rsync", "ssh", "ssh-keygen", "/usr/sbin/sshd")
START_SECONDS = 60.0

# Arguments: the network's first three bytes, the host's number, the folder that all hosts share.
BOOT = r"""
set -eu
network=$1 number=$2 shared=$3
until ip link show eth0 > /dev/null 2>&1; do sleep 0.05; done
ip address add "$network.$number/24" dev eth0
ip link set eth0 up
ip link set lo up
ip route add default via "$network.1"  # without it, Ray advertises 127.0.0.1
hostname "host$number"

mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs dev/shm
mkdir -p run/sshd tmp/ray srv/shared
mount -t tmpfs tmpfs tmp/ray
mount --bind "$shared" srv/shared
rm -rf root/.ray root/.bashrc root/.bash_profile root/.profile root/sweeps root/venv
cp -r "$shared/image/." .
exec chroot . /usr/sbin/sshd -D -e -f "/etc/ssh/host$number.conf"
"""

TRIAL = """
mount -t tmpfs tmpfs /mnt && mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
"""

SSHD = """
ListenAddress {address}
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/allowed_key
PermitRootLogin yes
StrictModes no
PidFile none
MaxStartups 100
SetEnv PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin RAY_raylet_start_wait_time_s=600 RAY_worker_niceness=0
"""

# Programs of the image of a cloud, for a host that reaches only its neighbours. The user is root, and everything is
# installed. A folder that is exported is the one that all hosts share; to mount it over NFS is to bind it.
IMAGE = {
    "sudo": 'exec "$@"',
    "apt-get": "exit 0",
    "cloud-init": 'if [ "$1" = query ]; then echo ami-0; fi',
    "exportfs": """
while read -r folder _; do
    mountpoint -q "$folder" || mount --bind /srv/shared/exported "$folder"
done < /etc/exports.d/sweeps.exports""",
    "mount": '''
if [ "$1 $2" = "-t nfs4" ]; then exec /bin/mount --bind /srv/shared/exported "$4"; fi
exec /bin/mount "$@"''',
}
# The project's packages are installed already: pip must neither look for a newer one nor fetch setuptools.
PIP = "[global]\nno-index = true\ndisable-pip-version-check = true\n[install]\nno-build-isolation = false\n"


class HostsUnavailableError(RuntimeError):
    """This machine cannot have hosts; the message says why."""


@dataclass
class Host:
    """One host; `hostN` in its own words."""

    number: int
    address: str
    link: str
    """The end of its network cable on this machine."""
    process: "subprocess.Popen[bytes]"
    log: Path

    def pull_power_cord(self) -> None:
        """End all its processes at once, and let nothing of that reach the network."""
        subprocess.run(["ip", "link", "delete", self.link], check=True)
        self.process.kill()
        self.process.wait()

    def processes(self) -> list[str]:
        """Return the command lines of its processes, without the SSH server's."""
        (first,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        space = os.readlink(f"/proc/{first}/ns/pid")
        lines = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(folder / "ns" / "pid") == space:
                    lines.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
            except OSError:
                continue  # it has just ended
        return [line for line in lines if line and not line.startswith(("sshd", "/usr/sbin/sshd"))]


class Hosts:
    """A network of hosts; this machine is `.1` in it. Use it as a context manager.

    Args:
        folder: a new folder, for keys, logs and what all hosts share.
        count: the number of hosts.

    Raises:
        HostsUnavailableError: when it is entered on a machine that cannot have hosts.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self.shared, self.key = folder / "shared", folder / "key"
        self.hosts: list[Host] = []
        # 198.18.0.0/15 is for tests of networks (RFC 2544). The process decides, so that two tests do not meet.
        self.network = f"198.18.{os.getpid() % 250}"
        self.bridge = f"ts{os.getpid()}"

    def __enter__(self) -> "Hosts":
        self._check()
        self._make_image()
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        try:
            _run("ip", "address", "add", f"{self.network}.1/24", "dev", self.bridge)
            _run("ip", "link", "set", self.bridge, "up")
            for number in range(11, 11 + self.count):
                self.hosts.append(self._start(number))
            for host in self.hosts:
                _wait(lambda host=host: self._answers(host), host)  # type: ignore[misc]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            host.process.kill()
            host.process.wait()
        subprocess.run(["ip", "link", "delete", self.bridge], check=False)

    def ssh(self, host: Host, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on a host, as its root."""
        options = [f"-i{self.key}", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR"]
        return subprocess.run(
            ["ssh", *options, f"root@{host.address}", command], capture_output=True, text=True, check=False
        )

    def _check(self) -> None:
        if os.geteuid():
            raise HostsUnavailableError("hosts need root, to make network namespaces")
        if missing := [name for name in PROGRAMS if not shutil.which(name)]:
            packages = "Debian: openssh-server, rsync, iproute2"
            raise HostsUnavailableError(f"not installed: {', '.join(missing)} ({packages})")
        tried = subprocess.run(
            ["unshare", "--net", "--pid", "--fork", "--mount", "--uts", "sh", "-c", TRIAL],
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            raise HostsUnavailableError(f"this machine allows no namespaces or overlays: {tried.stderr.strip()}")

    def _make_image(self) -> None:
        image = self.shared / "image"
        for name, text in IMAGE.items():
            _write(image / "usr/local/bin" / name, f"#!/bin/sh\n{text}\n", 0o755)
        _write(image / "etc" / "pip.conf", PIP)
        (self.shared / "exported").mkdir()
        (image / "etc" / "exports.d").mkdir()
        (image / "root").mkdir(mode=0o700)
        (image / "root" / "venv").symlink_to(sys.prefix)
        for key in (self.key, image / "etc" / "ssh" / "host_key"):
            key.parent.mkdir(exist_ok=True)
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        shutil.copy(f"{self.key}.pub", image / "etc" / "ssh" / "allowed_key")
        for number in range(11, 11 + self.count):
            config = SSHD.format(address=f"{self.network}.{number}")
            _write(image / "etc" / "ssh" / f"host{number}.conf", config)

    def _start(self, number: int) -> Host:
        name, log = f"ts{os.getpid()}-{number}", self.folder / f"host{number}.log"
        spaces = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*spaces, "bash", "-c", BOOT, "boot", self.network, str(number), str(self.shared)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        host = Host(number, f"{self.network}.{number}", name, process, log)
        here = os.readlink("/proc/self/ns/net")
        _wait(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != here, host)
        peer = ["peer", "name", "eth0", "netns", str(process.pid)]
        _run("ip", "link", "add", name, "type", "veth", *peer)
        _run("ip", "link", "set", name, "master", self.bridge, "up")
        return host

    def _answers(self, host: Host) -> bool:
        return self.ssh(host, "true").returncode == 0


def _wait(until: Callable[[], bool], host: Host) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not until():
        if host.process.poll() is not None or time.monotonic() > deadline:
            raise HostsUnavailableError(f"host {host.number} did not start: {host.log.read_text()[-1000:]}")
        time.sleep(0.1)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
