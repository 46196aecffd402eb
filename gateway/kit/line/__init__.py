"""A line on which devices are asked: whose turn it is, how long an answer is waited for, and whose answer came."""
