"""What lets others believe the gateway: the audit trail."""
