"""MESSAGE_ID of what people look up: an id says what happened, whatever the line says beside. The journal's catalogue
(deploy/systemd/edge-gateway.catalog) explains each, and `journalctl -x` shows that. An id is never given to another meaning.
"""

MESSAGES = {
    "running": "19ef9f67145f4b3d881a758c12b0f658",
    "stopped": "e79abdc3d81c43a1a010987bc78b9517",
    "down": "bd4aa56892074e3099067c29e08096f5",
    "up": "a116be58433f41789df4b2e13d4ff9cd",
    "up again": "6aa51a274df24a0cb3b3d71d3c528b48",
    "faulted": "89ad45b7fb394854b4bb6068598f1f6f",
    "event": "419aeace33264dbaac475c1941ddfa57",
    "an alarm chatters: give it hysteresis or on_delay, or mend what it watches": "cedd0865368348d99e3f925d128d6066",
    "the disk does not take the outbox; trying on": "e3f009dbc4d345f0ab55339d541428ee",
    "the disk takes nothing: what is read now is sent from memory, and not kept": "9bfc637ce73c466e8ff86879b78da658",
    "the disk takes the outbox again": "2552683a16bf42fb9565551e8e4fe11a",
    "the oldest data is given up": "03d519be9bf14b9f825124f54ef7f94e",
    "readings will not be delivered": "cf5c71d9671f4a93a4d050db32ab03f4",
    "readings are not accepted": "66b69c0a4d7a46f89f81a1b7b54ddd4b",
    "a record was refused for good and is kept as a dead letter": "aa20c5f722554f8287a5a05020598240",
    "refused for now, sent again later": "fc9f0d795578422e88dbd82eff5d798f",
    "a file of the outbox is damaged; what can be read of it is kept": "9c4659393a5c4183a0c9b965e381626f",
    "a file of the outbox cannot be read and is set aside": "a0af0b3242ea4bd38a266e726427a53f",
    "a file of the outbox was removed by somebody else": "65738a8d166d4a4c8eaf3399807795da",
    "the last stop was not clean; numbers are skipped": "a4ee8eaa16c344e580e6a14c706fba29",
    "the configuration was applied": "934c3654a4244ff8abeee6dd210866df",
    "the configuration was not applied": "0ebc43591b574ac995222f75005e1022",
    "left out, its plugin does not load": "c70782cfd16b4a8c9f9341f3e266bcb1",
    "a part is left alone": "d17c9ce5481a4c6d97836d5d0a7b1178",
    "the event loop is blocked, nothing else goes on": "adf38d68795448689593c1e6ec87c035",
    "no progress, the watchdog will not be fed": "0c2e235045244119a8284e3bbb5da5d0",
    "the process of a driver has ended": "b2c8b26985d94526ae15451cc93d4cc0",
    "the clock was set": "5a97586a73f64ad9a87a1075249081e4",
    "models cannot keep up, readings were not scored": "af152cf534014f18a2aeb04db353f014",
    "users cannot be read, so nobody can log in": "d6b6208e8d16442cb0a5268d4a3a91da",
    "the broker takes what is sent, and no client subscribes to it": "860c54f4e1414069bbbf03bb7b88c61f",
    "the journal stood still, and lines of the log are lost": "eeb5f60935ef4517aa82d09e63d85759",
}
"""By the text of the line."""
_BACK = "up again"


def message_id(event: str) -> str | None:
    """The id of a line that begins so; None for one that has none."""
    return MESSAGES.get(_BACK if event.startswith(_BACK) else event)
