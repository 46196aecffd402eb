"""What a server reports by itself: subscriptions, their items and events, and how silence is met."""
