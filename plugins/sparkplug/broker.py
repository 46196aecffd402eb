"""The MQTT session that a configuration means."""

from gateway.plugin import resolve
from gateway.plugin.mqtt import MqttOptions, route, tls_options

from .config import SparkplugConfig
from .node import Topics


def session_options(config: SparkplugConfig, topics: Topics, host: str, port: int) -> MqttOptions:
    """For one of its brokers. Raises RefusedError for a password that is not where it should be."""
    return MqttOptions(
        host=host,
        port=port,
        client_id=config.client_id or f"{topics.group}/{topics.node}",
        user=config.user,
        password=None if config.password is None else resolve(config.password),
        tls=tls_options(config.tls),
        websocket=config.websocket,
        route=route(config),
        protocol=config.protocol,
        keep_alive=config.keep_alive,
        user_timeout=3 * config.ack_timeout,  # a peer that takes nothing for a while is slow; the publisher watches too
        qos=0,
        barrier=config.barrier,
        marker_topic=marker_topic(topics),
    )


def marker_topic(topics: Topics) -> str:
    """Where markers go: beside Sparkplug's own topics, so that no host meets one."""
    return f"{topics.group}/{topics.node}/_barrier"
