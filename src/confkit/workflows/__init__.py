"""The two workflows, what they say to each other, the policy, and the driver that runs them without I/O."""
