"""The pages of the documentation in the terminal: topics, commands, and what a message means."""
