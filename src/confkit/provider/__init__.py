"""What a provider author imports: the contract, discovery, settings, the HTTP toolkit."""
