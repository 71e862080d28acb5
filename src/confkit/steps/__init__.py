"""One provider operation with everything around it that is the same everywhere: trace, retry, rate limit."""
