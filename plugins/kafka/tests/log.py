"""What stands in a topic, as aiokafka's consumer reads it."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


async def in_log(port: int, topic: str, partitions: int = 3) -> list[Any]:
    """All records of the topic, partition by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{port}", auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        found: list[Any] = []
        for place, end in (await consumer.end_offsets(places)).items():
            while await consumer.position(place) < end:
                for each in (await consumer.getmany(timeout_ms=500)).values():
                    found += each
        return sorted(found, key=lambda each: (each.partition, each.offset))
    finally:
        await consumer.stop()
