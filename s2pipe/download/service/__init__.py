"""The data service over HTTP: requests, retries, tokens. Nothing else imports requests."""
