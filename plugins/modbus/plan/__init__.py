"""What is read in one scan: requests, what was learned of refusals, and the way from answers to values."""
