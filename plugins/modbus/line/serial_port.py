"""A serial port as a transport: raw bytes, no waiting."""

import array
import asyncio
import fcntl
import os
import struct
import termios
import tty
from typing import Literal

from gateway.plugin import LinkError

Parity = Literal["none", "even", "odd"]

_SIZES = {7: termios.CS7, 8: termios.CS8}
_TIOCSRS485 = 0x542F
_RS485_ENABLED, _RS485_RTS_ON_SEND = 1, 2


def baud_rates() -> list[int]:
    """What this system's serial ports can be set to."""
    return sorted(int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit() and name != "B0")


class SerialPort:
    """An open port. It calls the protocol as asyncio's own transports do."""

    def __init__(
        self,
        path: str,
        protocol: asyncio.Protocol,
        *,
        baud: int,
        data_bits: int,
        parity: Parity,
        stop_bits: int,
        rs485: bool,
    ) -> None:
        """Raises LinkError when the port cannot be had."""
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._unsent = b""
        self._fd = _open(path)
        try:
            _set_up(self._fd, baud, data_bits, parity, stop_bits)
            if rs485:
                _switch_rs485(self._fd)
        except (OSError, termios.error) as error:
            os.close(self._fd)
            raise LinkError(f"cannot set up {path}: {error.args[-1]}; does it take these settings?") from error
        self._loop.add_reader(self._fd, self._readable)

    def write(self, data: bytes) -> None:
        """Send, at once as far as the port takes it."""
        if self._unsent:
            self._unsent += data
            return
        self._unsent = data
        self._writable()

    def abort(self) -> None:
        """Close; what was not sent is dropped."""
        self._end(None)

    def pause_reading(self) -> None:
        """Leave what comes to the system, which drops what its buffer does not hold."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Undo `pause_reading`: take in what comes."""
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._readable)

    def _writable(self) -> None:
        try:
            sent = os.write(self._fd, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._end(error)
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._fd, self._writable)
        else:
            self._loop.remove_writer(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._end(OSError(0, "the port is gone"))

    def _end(self, error: OSError | None) -> None:
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._loop.call_soon(self._protocol.connection_lost, error)


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise LinkError(
            f"cannot open {path}: permission denied; is the daemon's user in its group (dialout)?"
        ) from error
    except OSError as error:
        raise LinkError(f"cannot open {path}: {error.strerror}; is the adapter plugged in?") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise LinkError(f"cannot open {path}: another program uses it") from error
    return fd


def _set_up(fd: int, baud: int, data_bits: int, parity: Parity, stop_bits: int) -> None:
    tty.setraw(fd)
    attributes = termios.tcgetattr(fd)
    control = attributes[2] & ~(termios.CSIZE | termios.PARENB | termios.PARODD | termios.CSTOPB)
    control |= _SIZES[data_bits] | termios.CLOCAL | termios.CREAD
    control |= {"none": 0, "even": termios.PARENB, "odd": termios.PARENB | termios.PARODD}[parity]
    control |= termios.CSTOPB if stop_bits == 2 else 0
    attributes[0] |= termios.INPCK if parity != "none" else 0
    attributes[2] = control
    attributes[4] = attributes[5] = getattr(termios, f"B{baud}")
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
    termios.tcflush(fd, termios.TCIOFLUSH)


def _switch_rs485(fd: int) -> None:
    """Have the port's hardware drive RTS while it sends (struct serial_rs485 of linux/serial.h)."""
    settings = array.array("B", struct.pack("=8I", _RS485_ENABLED | _RS485_RTS_ON_SEND, *[0] * 7))
    fcntl.ioctl(fd, _TIOCSRS485, settings)
