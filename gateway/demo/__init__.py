"""The demonstration: simulated devices, an embedded broker, and the gateway between them."""
