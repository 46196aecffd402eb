"""Word to systemd (sd_notify(3)), in a few lines because the packaged libraries need a compiler or are unkept."""

import os
import socket


def listens() -> bool:
    """Whether systemd has started us and wants to hear."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(**variables: str | int) -> bool:
    """Send variables such as READY=1 or STATUS="…". False when not started by systemd."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address[0] == "@":
        address = "\0" + address[1:]
    text = "\n".join(f"{name}={value}" for name, value in variables.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        try:
            out.sendto(text.encode(), address)
        except OSError:
            return False
    return True


def watchdog_interval() -> float | None:
    """Seconds within which systemd wants to hear from us, or None."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(micros) / 1e6 if micros.isdigit() and pid == str(os.getpid()) else None
