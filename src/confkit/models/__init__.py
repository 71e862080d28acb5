"""The values that everybody shares: records, events, errors, capabilities, addresses, traces; no I/O."""
