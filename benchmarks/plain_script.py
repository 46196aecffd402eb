"""The 40 lines that an engineer writes in an afternoon: pymodbus in, paho out, nothing kept on disk. The yardstick."""

import asyncio
import json
import sys
import time

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import AsyncModbusTcpClient

broker, floats, *ports = map(int, sys.argv[1:])


async def poll(client: mqtt.Client, port: int) -> None:
    plc = AsyncModbusTcpClient("127.0.0.1", port=port)
    await plc.connect()
    turn = asyncio.get_running_loop().time() + port % 100 / 100
    while True:
        turn += 1.0
        await asyncio.sleep(turn - asyncio.get_running_loop().time())
        answer = await plc.read_holding_registers(0, count=2 * floats)
        if answer.isError():
            continue
        values: list[float] = plc.convert_from_registers(answer.registers, plc.DATATYPE.FLOAT32)  # type: ignore[assignment]
        body = {"ts": time.time_ns() // 1_000_000, "values": {f"tag_{n:02}": value for n, value in enumerate(values)}}
        client.publish(f"plant/device-{port}", json.dumps(body), qos=1)


async def main() -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(200)
    client.connect("127.0.0.1", broker)
    client.loop_start()
    print("ready", flush=True)
    await asyncio.gather(*(poll(client, port) for port in ports))


asyncio.run(main())
