"""Where facts come in (webhooks, stream, polling), find their meeting, and become its state."""
