"""The torture of `edge-gateway selftest outbox`: the guarantee of the log, tried on the user's own machine and disk.

What is true is kept apart from what is tested: the examiner notes itself what was accepted, handed out and acknowledged,
and compares with what the log gives back.
"""
