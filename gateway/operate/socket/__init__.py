"""How commands reach the running gateway: the control socket, who is at its other end, and how many they may be."""

from gateway.operate.socket.control import ControlServer

__all__ = ["ControlServer"]
