"""A Sparkplug B 3.0 edge node: the gateway is the node, its devices are the node's, tags are their metrics."""

from .sink import SparkplugSink

__all__ = ["SparkplugSink"]
