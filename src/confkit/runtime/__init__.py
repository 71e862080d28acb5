"""What carries a driver out, in the process that holds the client."""
