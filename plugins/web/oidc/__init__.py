"""Logins by an OpenID provider (OpenID Connect Core 1.0, code flow with PKCE): who people are, and what they may, is said
elsewhere; the page's own users go on beside it. Entered by `login` and `config`."""
