"""One session with a server: channel, certificates, login, what the server bears, and its errors in words."""
