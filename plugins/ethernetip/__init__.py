"""Reads and writes Rockwell controllers, drives and others that speak CIP over EtherNet/IP: tags, data files, attributes."""

from .driver import EthernetIp

__all__ = ["EthernetIp"]
